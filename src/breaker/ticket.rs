use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// A call that was let through: two plain numbers, so that handing it on costs nothing. An
/// `Option<Instant>` is written in two parts and read as one, which stalls the processor for longer
/// than all the rest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Of the state in which it was let through.
    pub(super) generation: u64,
    /// When it began, in [`Ticks`]; [`NOT_TIMED`] when nobody asks.
    began: i64,
}

const NOT_TIMED: i64 = i64::MIN;

/// A moment as one number: nanoseconds from some other moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(i64);

impl Ticks {
    #[inline]
    pub(super) fn now() -> Self {
        Self::at(Instant::now())
    }

    #[inline(never)]
    pub(super) fn at(now: Instant) -> Self {
        static BASE: OnceLock<Instant> = OnceLock::new();
        let base = *BASE.get_or_init(Instant::now);
        Self(match now.checked_duration_since(base) {
            Some(after) => nanos(after),
            None => -nanos(base.saturating_duration_since(now)),
        })
    }

    /// The time since `earlier`; nothing when that is later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    pub(super) const fn to_bits(self) -> u64 {
        self.0.cast_unsigned()
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits.cast_signed())
    }
}

/// The ends of the numbers mean something else.
#[inline]
fn nanos(time: Duration) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    const MOST: u64 = i64::MAX.cast_unsigned() / SECOND.cast_unsigned();
    match i64::try_from(time.as_secs()) {
        Ok(seconds) if time.as_secs() < MOST => seconds * SECOND + i64::from(time.subsec_nanos()),
        _ => i64::MAX - 1,
    }
}

impl Ticket {
    /// A call that is not timed.
    #[inline]
    pub(super) fn passing(generation: u64) -> Self {
        Self {
            generation,
            began: NOT_TIMED,
        }
    }

    /// A call that begins now.
    #[inline]
    pub(super) fn timed(generation: u64) -> Self {
        Self {
            generation,
            began: Ticks::now().0,
        }
    }

    /// A call that begins at `now`.
    pub(super) fn begun(generation: u64, now: Instant) -> Self {
        Self {
            generation,
            began: Ticks::at(now).0,
        }
    }

    /// When it began.
    pub(super) fn began(&self) -> Option<Ticks> {
        self.is_timed().then_some(Ticks(self.began))
    }

    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.began != NOT_TIMED
    }

    /// How long it took until `now`; it must be timed.
    pub(super) fn took(&self, now: Instant) -> Duration {
        Ticks::at(now).since(Ticks(self.began))
    }
}

/// The time at which a call ended: the clock is read only when somebody asks, and once.
#[derive(Debug)]
pub(super) struct Moment(Option<Instant>);

impl Moment {
    /// Read later, if at all.
    pub(super) fn lazy() -> Self {
        Self(None)
    }

    pub(super) fn now() -> Self {
        Self(Some(Instant::now()))
    }

    pub(super) fn get(&mut self) -> Instant {
        *self.0.get_or_insert_with(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_in_nanoseconds_as_far_as_they_reach() {
        assert_eq!(nanos(Duration::ZERO), 0);
        assert_eq!(nanos(Duration::new(3, 7)), 3_000_000_007);
        assert_eq!(nanos(Duration::MAX), i64::MAX - 1);
        let far = Duration::from_secs(u64::MAX / 2);
        assert_eq!(nanos(far), i64::MAX - 1);
        let last = Duration::new(9_223_372_035, 999_999_999);
        assert_eq!(nanos(last), 9_223_372_035_999_999_999);
    }
}
