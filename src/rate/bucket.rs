use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Config;
use super::gaps::Gaps;

/// The time at which a limiter is made. Before it lies the time of a full burst; after it, more than
/// four hundred years.
pub(super) const ORIGIN: u64 = 1 << 62;

/// What all clones of a limiter share.
///
/// Time itself is what is given out, in nanoseconds: a permit is a piece of it, one interval long, which
/// may be used from its end on and for as long as the bucket holds it. Pieces do not overlap, so what
/// is used in any span of time was made in that span or lay in the bucket before it.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Bucket {
    // What each call reads stands together, so that one of ten thousand limiters costs no more misses
    // of the cache than it must.
    /// From here on time belongs to nobody: the theoretical arrival time of the algorithm, less the
    /// burst. It lies in the future while somebody waits.
    free: AtomicU64,
    limits: Limits,
    /// How many gaps there are, so that nobody takes the lock to see that there are none.
    gaps: AtomicUsize,
    slow: Mutex<Slow>,
    rejected: AtomicU64,
}

/// The policy in nanoseconds. It is read without a lock, so the version tells whether it was whole: it
/// is odd while a change is made, and another one after it.
#[derive(Debug)]
struct Limits {
    version: AtomicU64,
    interval: AtomicU64,
    /// The time in which the burst fills.
    fill: AtomicU64,
    max_wait: AtomicU64,
}

/// What only those touch who give a place back, or change the policy.
#[derive(Debug)]
struct Slow {
    config: Config,
    gaps: Gaps,
    /// Time before the latest change of the policy was made at another rate, and is not given back.
    changed: u64,
}

/// A piece of time that belongs to a call. It may go ahead when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What is in the bucket, and how long until there is one permit, and until there are all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) available: u32,
    pub(super) next_in: u64,
    pub(super) full_in: u64,
}

/// Why a call has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It could have one after so many nanoseconds.
    For(u64),
    /// It asks for more than there ever are at once.
    TooMany,
}

impl Bucket {
    pub(super) fn new(config: Config) -> Self {
        let (interval, fill, max_wait) = nanos(&config);
        Self {
            free: AtomicU64::new(ORIGIN - fill),
            limits: Limits {
                version: AtomicU64::new(0),
                interval: AtomicU64::new(interval),
                fill: AtomicU64::new(fill),
                max_wait: AtomicU64::new(max_wait),
            },
            rejected: AtomicU64::new(0),
            gaps: AtomicUsize::new(0),
            slow: Mutex::new(Slow {
                config,
                gaps: Gaps::default(),
                changed: 0,
            }),
        }
    }

    /// Takes a place for `permits` that is ripe within `longest` from `now` on.
    #[inline]
    pub(super) fn take(&self, permits: u32, now: u64, longest: u64) -> Result<Place, Refused> {
        let Limits {
            version,
            interval,
            fill,
            ..
        } = &self.limits;
        let latest = now.saturating_add(longest);
        loop {
            let before = version.load(Ordering::Acquire);
            let interval = interval.load(Ordering::Relaxed);
            let fill = fill.load(Ordering::Relaxed);
            let free = self.free.load(Ordering::Acquire);
            fence(Ordering::Acquire);
            if before % 2 == 1 || version.load(Ordering::Relaxed) != before {
                drop(self.slow());
                continue;
            }
            let cost = interval.saturating_mul(u64::from(permits));
            if cost > fill {
                return self.refuse(Refused::TooMany);
            }
            // What is older has run over.
            let start = free.max(now - fill);
            let place = Place {
                start,
                end: start.saturating_add(cost),
            };
            if place.end > now
                && let Some(gap) = self.take_gap(permits, place.end, now, latest)?
            {
                return Ok(gap);
            }
            // A policy that changed after it was read has moved the mark too, and this fails; or has
            // left it where it is, and then it does not matter which of the two came first.
            let taken = self.free.compare_exchange_weak(
                free,
                place.end,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if taken.is_ok() {
                return Ok(place);
            }
        }
    }

    /// Takes a place that somebody gave back, if there is an early one. Else `None`, when the next one
    /// in the queue, which is ripe at `queued`, is early enough.
    #[cold]
    fn take_gap(
        &self,
        permits: u32,
        queued: u64,
        now: u64,
        latest: u64,
    ) -> Result<Option<Place>, Refused> {
        let mut first = queued;
        if self.gaps.load(Ordering::Relaxed) > 0 {
            let mut slow = self.slow();
            let (interval, fill, _) = nanos(&slow.config);
            let oldest = now - fill;
            slow.gaps.forget(oldest);
            let cost = interval.saturating_mul(u64::from(permits));
            let found = slow.gaps.find(cost, oldest);
            let early = found.filter(|place| place.end <= latest);
            if let Some(place) = early {
                slow.gaps.take(place);
            }
            self.count_gaps(&slow);
            if early.is_some() {
                return Ok(early);
            }
            first = found.map_or(queued, |place| place.end.min(queued));
        }
        if queued <= latest {
            return Ok(None);
        }
        self.refuse(Refused::For(first - now))
    }

    fn refuse<T>(&self, refused: Refused) -> Result<T, Refused> {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Err(refused)
    }

    /// Takes a place back that was not used. Nobody who waits is moved: it is for whoever asks next.
    pub(super) fn give_back(&self, place: Place, now: u64) {
        let mut slow = self.slow();
        let (_, fill, _) = nanos(&slow.config);
        let oldest = now - fill;
        let place = Place {
            start: place.start.max(slow.changed),
            end: place.end,
        };
        if place.start >= place.end {
            return;
        }
        if self.move_back(place) {
            // Nobody stands behind what was given back before it either.
            if let Some(gap) = slow.gaps.remove_ending_at(place.start)
                && !self.move_back(gap)
            {
                slow.gaps.insert(gap);
            }
        } else if place.end > oldest {
            slow.gaps.insert(place);
        }
        slow.gaps.forget(oldest);
        self.count_gaps(&slow);
    }

    /// Places do not overlap, so the mark stands at the end of `place` only when nobody came after it.
    fn move_back(&self, Place { start, end }: Place) -> bool {
        let moved = self
            .free
            .compare_exchange(end, start, Ordering::AcqRel, Ordering::Relaxed);
        moved.is_ok()
    }

    /// Takes on another policy. As many permits are at hand as before, as far as the new burst holds
    /// them; who waits keeps his place.
    pub(super) fn reconfigure(&self, config: Config, now: impl FnOnce() -> u64) {
        let mut slow = self.slow();
        // A policy that is read again loses nothing that was given back.
        if config == slow.config {
            return;
        }
        let limits = &self.limits;
        let (old_interval, old_fill, _) = nanos(&slow.config);
        let (interval, fill, max_wait) = nanos(&config);
        limits.version.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::Release);
        limits.interval.store(interval, Ordering::Relaxed);
        limits.fill.store(fill, Ordering::Relaxed);
        limits.max_wait.store(max_wait, Ordering::Relaxed);
        // Later than that of any call that has read the old policy.
        let now = now();
        let moved = |free: u64| {
            let kept = now.saturating_sub(free).min(old_fill);
            let kept = u128::from(kept) * u128::from(interval) / u128::from(old_interval);
            let kept = u64::try_from(kept).unwrap_or(u64::MAX).min(fill);
            Some(if free < now { now - kept } else { free })
        };
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, moved)
            .unwrap_or_default();
        slow.changed = now;
        slow.gaps.clear();
        self.count_gaps(&slow);
        slow.config = config;
        limits.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn config(&self) -> Config {
        self.slow().config
    }

    /// The longest wait that the policy allows.
    pub(super) fn max_wait(&self) -> u64 {
        self.limits.max_wait.load(Ordering::Relaxed)
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// What there is at `now`.
    pub(super) fn levels(&self, now: u64) -> Levels {
        let slow = self.slow();
        let (interval, fill, _) = nanos(&slow.config);
        let free = self.free.load(Ordering::Acquire);
        let oldest = now - fill;
        let start = free.max(oldest);
        let permits =
            now.saturating_sub(start) / interval + slow.gaps.permits(interval, oldest, now);
        let gap = slow.gaps.find(interval, oldest);
        let next = gap.map_or(u64::MAX, |gap| gap.end).min(start + interval);
        Levels {
            available: u32::try_from(permits.min(fill / interval)).unwrap_or(u32::MAX),
            next_in: next.saturating_sub(now),
            full_in: start - oldest,
        }
    }

    /// Whether it is as if it had just been made.
    pub(super) fn is_full(&self, now: u64) -> bool {
        let fill = self.limits.fill.load(Ordering::Relaxed);
        self.free.load(Ordering::Acquire) <= now - fill
    }

    fn count_gaps(&self, slow: &Slow) {
        self.gaps.store(slow.gaps.len(), Ordering::Relaxed);
    }

    /// It is whole after every change, so a panic elsewhere leaves it usable.
    fn slow(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The interval, the time in which the burst fills and the longest wait; a checked policy fits.
fn nanos(config: &Config) -> (u64, u64, u64) {
    let interval = config.rate.interval_nanos();
    let fill = interval.saturating_mul(u64::from(config.burst_or_default()));
    let max_wait = u64::try_from(config.max_wait.as_nanos()).unwrap_or(u64::MAX);
    (interval, fill, max_wait)
}
