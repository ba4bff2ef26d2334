use tokio::time::Instant;

use super::Window;
use super::count::Count;
use super::time::Time;
use crate::breaker::ticket::Moment;

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::breaker) struct Ending {
    pub(in crate::breaker) failed: bool,
    pub(in crate::breaker) slow: bool,
}

/// How many calls ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::breaker) struct Sums {
    pub(in crate::breaker) calls: u32,
    pub(in crate::breaker) failures: u32,
    pub(in crate::breaker) slow: u32,
}

impl Sums {
    pub(super) fn add(&mut self, ending: Ending) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(ending.failed));
        self.slow = self.slow.saturating_add(u32::from(ending.slow));
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// The calls in a window.
#[derive(Debug)]
pub(in crate::breaker) enum Tally {
    Count(Count),
    Time(Time),
}

impl Tally {
    pub(in crate::breaker) fn new(window: Window) -> Self {
        match window {
            Window::Calls(calls) => Self::Count(Count::new(calls)),
            Window::Time(span) => Self::Time(Time::new(span)),
        }
    }

    /// Takes in one call that ended at `now`.
    pub(in crate::breaker) fn push(&mut self, ending: Ending, now: &mut Moment) {
        match self {
            Self::Count(count) => count.push(ending),
            Self::Time(time) => time.push(ending, now.get()),
        }
    }

    /// What the window holds, as of the latest call.
    pub(in crate::breaker) fn sums(&self) -> Sums {
        match self {
            Self::Count(count) => count.sums(),
            Self::Time(time) => time.sums(),
        }
    }

    /// What the window holds at `now`.
    pub(in crate::breaker) fn sums_at(&mut self, now: Instant) -> Sums {
        if let Self::Time(time) = self {
            time.advance(now);
        }
        self.sums()
    }

    pub(in crate::breaker) fn clear(&mut self) {
        match self {
            Self::Count(count) => count.clear(),
            Self::Time(time) => time.clear(),
        }
    }

    /// Whether one more success would change nothing.
    pub(in crate::breaker) fn is_saturated(&self) -> bool {
        match self {
            Self::Count(count) => count.is_saturated(),
            Self::Time(_) => false,
        }
    }
}
