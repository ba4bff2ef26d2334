use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// How many calls a breaker has rejected without its lock, and its name for each of them.
///
/// Both are counts that every rejection changes. Threads that fought for one of them would wait for it longer
/// than for all the rest of a rejection, so several threads have several. Made for the first rejection.
#[derive(Default)]
pub(super) struct TurnedAway(OnceLock<Box<[Stripe; STRIPES]>>);

/// On cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    calls: AtomicU64,
    /// A copy, made by a thread that uses it: it lies where that thread's memory does.
    name: OnceLock<Arc<str>>,
}

/// More threads than a service has for its runtime, most often.
const STRIPES: usize = 8;

impl TurnedAway {
    /// Counts one call, and returns `name` for it.
    pub(super) fn count(&self, name: &str) -> Arc<str> {
        let stripe = &self.0.get_or_init(Box::default)[stripe()];
        stripe.calls.fetch_add(1, Ordering::Relaxed);
        Arc::clone(stripe.name.get_or_init(|| name.into()))
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> u64 {
        let stripes = self.0.get().into_iter().flat_map(|stripes| stripes.iter());
        stripes
            .map(|stripe| stripe.calls.load(Ordering::Relaxed))
            .sum()
    }
}

/// The stripe of this thread: each new thread has the next one.
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mine = MINE.get();
    if mine < STRIPES {
        return mine;
    }
    let mine = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    MINE.set(mine);
    mine
}

impl fmt::Debug for TurnedAway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TurnedAway").field(&self.calls()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn every_call_of_every_thread_is_counted_and_told_the_name() {
        let turned_away = TurnedAway::default();
        assert_eq!(turned_away.calls(), 0);
        thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        assert_eq!(&*turned_away.count("billing"), "billing");
                    }
                });
            }
        });
        assert_eq!(turned_away.calls(), 2_000 * STRIPES as u64);
    }
}
