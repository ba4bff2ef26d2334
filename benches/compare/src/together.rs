//! Threads that are to run at the same time, and whether they did.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What the threads of a round know of each other.
///
/// On a machine that has other things to do one of them may be alone for a while. What it measures then
/// says nothing about sharing, so each shows how far it has come.
pub(crate) struct Together {
    begin: Barrier,
    steps: Vec<Steps>,
    finished: AtomicUsize,
}

/// On cache lines of its own: it must not be what the threads fight for.
#[derive(Default)]
#[repr(align(128))]
struct Steps(AtomicU64);

impl Together {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            begin: Barrier::new(threads),
            steps: (0..threads).map(|_| Steps::default()).collect(),
            finished: AtomicUsize::new(0),
        }
    }

    /// Waits until all are there.
    pub(crate) fn begin(&self) {
        self.begin.wait();
    }

    /// `thread` has got on.
    pub(crate) fn step(&self, thread: usize) {
        self.steps[thread].0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many steps the others have made so far, each in the mean; `None` when there is no other.
    pub(crate) fn steps_of_others(&self, thread: usize) -> Option<u64> {
        let others = u64::try_from(self.steps.len() - 1).ok();
        let others = others.filter(|others| *others > 0)?;
        let steps = self.steps.iter().enumerate();
        let sum: u64 = steps
            .filter(|(index, _)| *index != thread)
            .map(|(_, steps)| steps.0.load(Ordering::Relaxed))
            .sum();
        Some(sum / others)
    }

    /// A thread has measured enough; it goes on until all have.
    pub(crate) fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn all_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed) == self.steps.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_sees_the_steps_of_the_others_and_not_its_own() {
        let three = Together::new(3);
        three.step(0);
        for _ in 0..2 {
            three.step(1);
            three.step(2);
        }
        let seen = [0, 1, 2].map(|thread| three.steps_of_others(thread));
        assert_eq!(seen, [Some(2), Some(1), Some(1)]);
        assert_eq!(Together::new(1).steps_of_others(0), None);
    }

    #[test]
    fn all_have_finished_when_each_has() {
        let two = Together::new(2);
        two.finish();
        assert!(!two.all_finished());
        two.finish();
        assert!(two.all_finished());
    }
}
