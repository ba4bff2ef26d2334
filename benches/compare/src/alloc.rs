//! Counts the allocations of each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count per thread: a shared one would slow down whoever allocates on
/// several threads, and so not show what he costs.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has asked for memory so far.
pub(crate) fn count() -> u64 {
    COUNT.with(Cell::get)
}

fn count_one() {
    COUNT.with(|count| count.set(count.get() + 1));
}

#[expect(
    unsafe_code,
    reason = "hands every call on to the system's allocator, unchanged"
)]
// SAFETY: the system's allocator keeps the contract; counting touches no memory of the caller, and
// neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`; the memory is the system's.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller keeps the contract of `realloc`; the memory is the system's.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_one_allocation_and_another_threads_are_not_counted() {
        let before = count();
        drop(std::hint::black_box(Box::new(1_u64)));
        assert_eq!(count() - before, 1);
        let other = std::thread::spawn(|| {
            let before = count();
            drop(std::hint::black_box(vec![1_u8; 100]));
            count() - before
        });
        assert_eq!(other.join().expect("ends"), 1);
    }
}
