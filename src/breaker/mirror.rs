use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ticket::Ticks;
use crate::classify::Failure;

/// An atomic number: that of the standard library, or one whose every interleaving is tried.
pub(super) trait Atomic {
    fn new(value: u64) -> Self;
    fn load(&self, ordering: Ordering) -> u64;
    fn store(&self, value: u64, ordering: Ordering);
}

/// What a call needs to know of the machine, to be read without its lock.
///
/// Whoever holds the lock keeps it. Most calls only read it, so it has its cache lines for itself. A
/// reader that sees the same `word` before and after it has read the rest has read what belongs
/// together: the word says "busy", which sends everybody to the lock, while the rest is written.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Mirror<A = AtomicU64> {
    /// The generation shifted left, and the flags.
    word: A,
    /// How many nanoseconds make a call slow.
    slow: A,
    /// While calls are rejected: until when, in ticks.
    until: A,
    /// While calls are rejected: how the latest failure failed.
    failure: A,
}

/// What the machine shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Face {
    pub(super) generation: u64,
    pub(super) passes: bool,
    pub(super) saturated: bool,
    pub(super) timed: bool,
    pub(super) clocked: bool,
    pub(super) slow: Duration,
    pub(super) rejects: Option<Rejects>,
}

/// Calls are rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejects {
    /// Until then; `None`: until somebody resets it.
    pub(super) until: Option<Ticks>,
    pub(super) last_failure: Option<Failure>,
}

/// The word of a [`Mirror`], as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

const PASSES: u64 = 1;
const SATURATED: u64 = 2;
const TIMED: u64 = 4;
const CLOCKED: u64 = 8;
const REJECTS: u64 = 16;
const FLAGS: u32 = 5;

impl Word {
    /// A call may pass without the lock.
    #[inline]
    pub(super) fn passes(self) -> bool {
        self.0 & PASSES != 0
    }

    /// Calls are timed.
    #[inline]
    pub(super) fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    /// To record a call takes the time.
    #[inline]
    pub(super) fn is_clocked(self) -> bool {
        self.0 & (TIMED | CLOCKED) != 0
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.0 >> FLAGS
    }

    /// One more success of a call of `generation`, if it was not slow, would change nothing: it need
    /// not be recorded.
    #[inline]
    pub(super) fn is_saturated(self, generation: u64) -> bool {
        self.0 & SATURATED != 0 && self.generation() == generation
    }
}

impl<A: Atomic> Mirror<A> {
    pub(super) fn new(face: &Face) -> Self {
        let mirror = Self {
            word: A::new(0),
            slow: A::new(0),
            until: A::new(0),
            failure: A::new(0),
        };
        mirror.show(face);
        mirror
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Whether a call that took so long is slow.
    #[inline]
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took.as_nanos() >= u128::from(self.slow.load(Ordering::Relaxed))
    }

    /// What to tell a call that is rejected without the lock; `None` when that takes the lock.
    pub(super) fn rejects(&self) -> Option<Rejects> {
        let word = self.word();
        let until = self.until.load(Ordering::Acquire);
        let failure = self.failure.load(Ordering::Acquire);
        let whole = word.0 & REJECTS != 0 && self.word() == word;
        whole.then(|| Rejects {
            until: (until != FOR_EVER).then_some(Ticks::from_bits(until)),
            last_failure: failure_of(failure),
        })
    }

    /// Shows `face`. To be called under the machine's lock.
    pub(super) fn show(&self, face: &Face) {
        let word = face.word();
        let slow = u64::try_from(face.slow.as_nanos()).unwrap_or(u64::MAX);
        let rejects = face.rejects.map(
            |Rejects {
                 until,
                 last_failure,
             }| {
                let until = until.map_or(FOR_EVER, Ticks::to_bits);
                (until, number_of(last_failure))
            },
        );
        let same = |number: &A, value| number.load(Ordering::Relaxed) == value;
        let told = rejects.is_none_or(|(until, failure)| {
            same(&self.until, until) && same(&self.failure, failure)
        });
        if !told || !same(&self.slow, slow) {
            // Busy.
            self.word.store(face.generation << FLAGS, Ordering::Relaxed);
            // Who sees one of these sees the busy word too.
            self.slow.store(slow, Ordering::Release);
            if let Some((until, failure)) = rejects {
                self.until.store(until, Ordering::Release);
                self.failure.store(failure, Ordering::Release);
            }
        }
        if !same(&self.word, word) {
            self.word.store(word, Ordering::Release);
        }
    }
}

impl<A: Atomic> Mirror<A> {
    /// Shows whether one more success would change nothing, and all else as it is. To be called under the
    /// machine's lock.
    pub(super) fn show_saturated(&self, saturated: bool) {
        let before = self.word.load(Ordering::Relaxed);
        let word = if saturated {
            before | SATURATED
        } else {
            before & !SATURATED
        };
        if word != before {
            self.word.store(word, Ordering::Release);
        }
    }
}

impl Face {
    fn word(&self) -> u64 {
        let flag = |on: bool, flag: u64| if on { flag } else { 0 };
        self.generation << FLAGS
            | flag(self.passes, PASSES)
            | flag(self.saturated, SATURATED)
            | flag(self.timed, TIMED)
            | flag(self.clocked, CLOCKED)
            | flag(self.rejects.is_some(), REJECTS)
    }
}

/// No tick is so late.
const FOR_EVER: u64 = i64::MAX.cast_unsigned();

const NONE: u64 = 0;
const TRANSIENT: u64 = 1;
const PERMANENT: u64 = 2;
const THROTTLED: u64 = 3;
/// A throttled failure with a time: the time in nanoseconds, moved up by this.
const ASKED: u64 = 4;

fn number_of(failure: Option<Failure>) -> u64 {
    match failure {
        None => NONE,
        Some(Failure::Transient) => TRANSIENT,
        Some(Failure::Permanent) => PERMANENT,
        Some(Failure::Throttled { retry_after: None }) => THROTTLED,
        Some(Failure::Throttled {
            retry_after: Some(asked),
        }) => u64::try_from(asked.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_add(ASKED),
    }
}

fn failure_of(number: u64) -> Option<Failure> {
    let retry_after = match number {
        NONE => return None,
        TRANSIENT => return Some(Failure::Transient),
        PERMANENT => return Some(Failure::Permanent),
        THROTTLED => None,
        asked => Some(Duration::from_nanos(asked - ASKED)),
    };
    Some(Failure::Throttled { retry_after })
}

impl Atomic for AtomicU64 {
    fn new(value: u64) -> Self {
        Self::new(value)
    }

    #[inline]
    fn load(&self, ordering: Ordering) -> u64 {
        self.load(ordering)
    }

    fn store(&self, value: u64, ordering: Ordering) {
        self.store(value, ordering);
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    impl Atomic for loom::sync::atomic::AtomicU64 {
        fn new(value: u64) -> Self {
            Self::new(value)
        }

        fn load(&self, ordering: Ordering) -> u64 {
            self.load(ordering)
        }

        fn store(&self, value: u64, ordering: Ordering) {
            self.store(value, ordering);
        }
    }

    type Tried = Mirror<loom::sync::atomic::AtomicU64>;

    /// Closed at first, then opened again and again, until a time and after a failure by which each can
    /// be told.
    fn face(generation: u64) -> Face {
        let open = generation > 0;
        Face {
            generation,
            passes: !open,
            saturated: generation == 0,
            timed: false,
            clocked: false,
            slow: Duration::from_secs(generation),
            rejects: open.then(|| Rejects {
                until: Some(Ticks::from_bits(generation)),
                last_failure: number_failure(generation),
            }),
        }
    }

    fn number_failure(generation: u64) -> Option<Failure> {
        failure_of(ASKED + generation)
    }

    #[test]
    fn a_rejection_is_read_as_a_whole_in_every_interleaving() {
        loom::model(|| {
            let shared = Arc::new((Tried::new(&face(1)), Mutex::new(1)));
            let changing = Arc::clone(&shared);
            let changed = thread::spawn(move || {
                for _ in 0..2 {
                    let mut generation = changing.1.lock().expect("not poisoned");
                    *generation += 1;
                    changing.0.show(&face(*generation));
                }
            });
            if let Some(Rejects {
                until,
                last_failure,
            }) = shared.0.rejects()
            {
                let generation = until.expect("a time").to_bits();
                assert!((1..=3).contains(&generation));
                assert_eq!(last_failure, number_failure(generation));
            }
            changed.join().expect("no panic");
        });
    }

    #[test]
    fn what_is_read_is_of_the_generation_that_the_word_says_in_every_interleaving() {
        loom::model(|| {
            let shared = Arc::new((Tried::new(&face(0)), Mutex::new(0)));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let changing = Arc::clone(&shared);
                    thread::spawn(move || {
                        let mut generation = changing.1.lock().expect("not poisoned");
                        *generation += 1;
                        changing.0.show(&face(*generation));
                    })
                })
                .collect();
            let admitted = shared.0.word();
            let recorded = shared.0.word();
            assert!(recorded.generation() >= admitted.generation());
            if admitted.passes() {
                assert_eq!(admitted.generation(), 0);
            }
            // A success may go unrecorded only in the generation in which that changes nothing.
            if recorded.is_saturated(admitted.generation()) {
                assert_eq!(recorded.generation(), 0);
            }
            for thread in threads {
                thread.join().expect("no panic");
            }
        });
    }

    #[test]
    fn every_failure_is_read_as_it_was_shown() {
        let asked = |nanos| {
            Some(Failure::Throttled {
                retry_after: Some(Duration::from_nanos(nanos)),
            })
        };
        let failures = [
            None,
            Some(Failure::Transient),
            Some(Failure::Permanent),
            Some(Failure::Throttled { retry_after: None }),
            asked(0),
            asked(1_500_000_000),
        ];
        for failure in failures {
            assert_eq!(failure_of(number_of(failure)), failure);
        }
    }
}
