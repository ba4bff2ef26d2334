//! What several threads share on a path that must cost nothing: places that live for ever, and a
//! count of calls against a limit in one word.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Places that live for ever and are handed out by `&'static`: who uses one touches no counter of
/// references, which several threads would fight for. A place that was given back is used again, so
/// there are never more than were in use at one time.
pub(crate) struct Places<T: 'static>(Mutex<Vec<&'static T>>);

impl<T> Places<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// A place that nobody uses: one that was given back, to be furnished anew, or a `new` one.
    pub(crate) fn claim(&self, new: impl FnOnce() -> T) -> &'static T {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Box::leak(Box::new(new())))
    }

    /// Gives a place back that nobody uses any more.
    pub(crate) fn give_back(&self, place: &'static T) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(place);
    }
}

/// How many calls are running, and how many may: one word, so that every change sees all earlier
/// ones and the limit is exact. It has its cache lines for itself.
///
/// From the low bits: running (32), limit (30), and two flags.
#[repr(align(128))]
pub(crate) struct Occupancy<W = AtomicU64>(W);

/// An atomic word: that of the standard library, or one whose every interleaving is tried.
pub(crate) trait Word {
    fn new(value: u64) -> Self;
    fn load(&self, ordering: Ordering) -> u64;
    fn store(&self, value: u64, ordering: Ordering);
    fn fetch_sub(&self, value: u64, ordering: Ordering) -> u64;
    fn fetch_or(&self, bits: u64, ordering: Ordering) -> u64;
    fn fetch_and(&self, bits: u64, ordering: Ordering) -> u64;
    /// Exchanges `old` for `new`, or says what is there; may fail for no reason.
    fn exchange(&self, old: u64, new: u64, ordering: Ordering) -> Result<u64, u64>;
}

/// Somebody waits: a place that comes free is theirs.
const QUEUED: u64 = 1 << 62;
/// The owner is gone.
const ABANDONED: u64 = 1 << 63;
const LIMIT_SHIFT: u32 = 32;
const LIMIT_BITS: u64 = (QUEUED - 1) & !0xFFFF_FFFF;

/// What is to be done after a call has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing.
    Quietly,
    /// Somebody waits for the place.
    Awaited,
    /// It was the last call, and the owner is gone: the place is free.
    Vacant,
}

impl<W: Word> Occupancy<W> {
    /// The most that can be counted.
    pub(crate) const LIMIT_MAX: u32 = (1 << 30) - 1;

    pub(crate) fn new(limit: u32) -> Self {
        Self(W::new(u64::from(limit) << LIMIT_SHIFT))
    }

    /// Takes one of the places; false when all are taken or somebody waits for one.
    #[inline]
    pub(crate) fn enter(&self) -> bool {
        self.enter_if(|word| word & QUEUED == 0)
    }

    /// The same for the first of those that wait.
    pub(crate) fn enter_first(&self) -> bool {
        self.enter_if(|_| true)
    }

    #[inline]
    fn enter_if(&self, may: impl Fn(u64) -> bool) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while may(word) && running(word) < limit(word) {
            // A place that another call has left was left with all that call did.
            match self.0.exchange(word, word + 1, Ordering::Acquire) {
                Ok(_) => return true,
                Err(changed) => word = changed,
            }
        }
        false
    }

    /// Gives a place back.
    #[inline]
    pub(crate) fn leave(&self) -> Left {
        let word = self.0.fetch_sub(1, Ordering::AcqRel);
        if word & (QUEUED | ABANDONED) == 0 {
            Left::Quietly
        } else if word & QUEUED != 0 {
            Left::Awaited
        } else if running(word) == 1 {
            Left::Vacant
        } else {
            Left::Quietly
        }
    }

    /// Says that nobody will ask for a place any more; true when nobody holds one either.
    pub(crate) fn abandon(&self) -> bool {
        running(self.0.fetch_or(ABANDONED, Ordering::AcqRel)) == 0
    }

    /// Whether the owner is gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.load(Ordering::Acquire) & ABANDONED != 0
    }

    /// Begins anew: nobody is there. Only for who has just claimed it.
    pub(crate) fn reset(&self, limit: u32) {
        let limit = u64::from(limit) << LIMIT_SHIFT;
        self.0.store(limit, Ordering::Release);
    }

    /// Says whether somebody waits.
    pub(crate) fn set_queued(&self, queued: bool) {
        if queued {
            self.0.fetch_or(QUEUED, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!QUEUED, Ordering::AcqRel);
        }
    }

    /// Changes the limit, and returns the one before. Who is there stays.
    pub(crate) fn set_limit(&self, new: u32) -> u32 {
        let new = u64::from(new.min(Self::LIMIT_MAX)) << LIMIT_SHIFT;
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let changed = word & !LIMIT_BITS | new;
            match self.0.exchange(word, changed, Ordering::AcqRel) {
                Ok(_) => return limit(word),
                Err(changed) => word = changed,
            }
        }
    }

    /// How many places are taken, and how many there are.
    pub(crate) fn read(&self) -> (u32, u32) {
        let word = self.0.load(Ordering::Acquire);
        (running(word), limit(word))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn running(word: u64) -> u32 {
    word as u32
}

const fn limit(word: u64) -> u32 {
    ((word & LIMIT_BITS) >> LIMIT_SHIFT) as u32
}

macro_rules! word {
    ($atomic:ty) => {
        impl Word for $atomic {
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

            #[inline]
            fn fetch_sub(&self, value: u64, ordering: Ordering) -> u64 {
                self.fetch_sub(value, ordering)
            }

            fn fetch_or(&self, bits: u64, ordering: Ordering) -> u64 {
                self.fetch_or(bits, ordering)
            }

            fn fetch_and(&self, bits: u64, ordering: Ordering) -> u64 {
                self.fetch_and(bits, ordering)
            }

            #[inline]
            fn exchange(&self, old: u64, new: u64, ordering: Ordering) -> Result<u64, u64> {
                self.compare_exchange_weak(old, new, ordering, Ordering::Relaxed)
            }
        }
    };
}

word!(AtomicU64);
#[cfg(test)]
word!(loom::sync::atomic::AtomicU64);

impl<W: Word> fmt::Debug for Occupancy<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, limit) = self.read();
        f.debug_struct("Occupancy")
            .field("running", &running)
            .field("limit", &limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_of_the_word_keep_out_of_each_others_way() {
        let occupancy: Occupancy = Occupancy::new(2);
        assert!(occupancy.enter() && occupancy.enter());
        assert!(!occupancy.enter());
        assert_eq!(occupancy.set_limit(u32::MAX), 2);
        assert_eq!(occupancy.read(), (2, <Occupancy>::LIMIT_MAX));
        occupancy.set_queued(true);
        assert!(!occupancy.enter() && occupancy.enter_first());
        assert_eq!(occupancy.leave(), Left::Awaited);
        occupancy.set_queued(false);
        assert_eq!(occupancy.set_limit(1), <Occupancy>::LIMIT_MAX);
        assert!(!occupancy.enter());
        assert!(!occupancy.is_abandoned() && !occupancy.abandon());
        assert!(occupancy.is_abandoned());
        assert_eq!(
            (occupancy.leave(), occupancy.leave()),
            (Left::Quietly, Left::Vacant)
        );
        occupancy.reset(7);
        assert_eq!(occupancy.read(), (0, 7));
        assert!(occupancy.abandon());
    }

    #[test]
    fn a_place_that_was_given_back_is_used_again() {
        static PLACES: Places<u8> = Places::new();
        let first = PLACES.claim(|| 1);
        let second = PLACES.claim(|| 2);
        PLACES.give_back(first);
        assert!(std::ptr::eq(PLACES.claim(|| 3), first));
        assert_eq!((PLACES.claim(|| 4), second), (&4, &2));
    }
}
