use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

/// A call that was let through: plain numbers, so that handing it on costs nothing. An
/// `Option<Instant>` is written in two parts and read as one, which stalls the processor for longer
/// than all the rest takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Of the state in which it was let through.
    pub(super) generation: u64,
    /// The place it holds; [`NO_PROBE`] when it is none.
    probe: u64,
    /// When it began, in [`Ticks`]; [`NOT_TIMED`] when calls are not timed.
    began: i64,
}

const NO_PROBE: u64 = u64::MAX;
const NOT_TIMED: i64 = i64::MIN;

/// A moment as one number: nanoseconds from some other moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticks(i64);

impl Ticks {
    #[inline(never)]
    pub(super) fn at(now: Instant) -> Self {
        static BASE: OnceLock<Instant> = OnceLock::new();
        let base = *BASE.get_or_init(Instant::now);
        // The ends of the numbers mean something else.
        let most = i64::MAX - 1;
        let nanos = |time: Duration| i64::try_from(time.as_nanos()).map_or(most, |n| n.min(most));
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

impl Ticket {
    /// A call that holds no place.
    #[inline]
    pub(super) fn passing(generation: u64) -> Self {
        Self {
            generation,
            probe: NO_PROBE,
            began: NOT_TIMED,
        }
    }

    /// A call that holds no place, and begins now.
    #[inline]
    pub(super) fn timed(generation: u64) -> Self {
        Self {
            generation,
            probe: NO_PROBE,
            began: Ticks::at(Instant::now()).0,
        }
    }

    /// The same, begun at `now`.
    pub(super) fn begun(mut self, now: Instant) -> Self {
        self.began = Ticks::at(now).0;
        self
    }

    /// The same, holding the place `id`.
    pub(super) fn probing(mut self, id: u32) -> Self {
        self.probe = u64::from(id);
        self
    }

    pub(super) fn is_probe(&self) -> bool {
        self.probe != NO_PROBE
    }

    /// The place it holds.
    pub(super) fn probe(&self) -> Option<u32> {
        u32::try_from(self.probe).ok()
    }

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
