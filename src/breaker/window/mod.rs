//! What a breaker remembers of the latest calls.

mod count;
mod time;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::count::Count;
use self::time::Time;
use crate::config::{Problems, duration};

/// Which calls a breaker looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Window {
    /// The latest so many calls, whenever they were: it needs no clock.
    Calls(u32),
    /// The calls of the latest time, kept in [`Window::SLICES`] slices: a call leaves with its slice,
    /// at most a slice early.
    Time(#[serde(with = "duration")] Duration),
}

impl Window {
    /// The largest window of calls: it costs two bits per call.
    pub const CALLS_MAX: u32 = 1_000_000;
    /// How many slices a window of time has.
    pub const SLICES: NonZeroU32 = NonZeroU32::new(20).unwrap();
    /// The longest window of time.
    pub const TIME_MAX: Duration = Duration::from_secs(3_600);
    /// The shortest window of time.
    pub const TIME_MIN: Duration = Duration::from_millis(20);

    pub(super) fn check(self, minimum_calls: u32, problems: &mut Problems) {
        let most = match self {
            Self::Calls(calls) => {
                let allowed = format!("1 to {}", Self::CALLS_MAX);
                let fine = (1..=Self::CALLS_MAX).contains(&calls);
                problems.check(fine, "window.calls", calls, allowed);
                calls.max(1)
            }
            Self::Time(span) => {
                let fine = (Self::TIME_MIN..=Self::TIME_MAX).contains(&span);
                let shown = duration::format(span);
                problems.check(fine, "window.time", shown, "20ms to 1h");
                u32::MAX
            }
        };
        problems.check(
            (1..=most).contains(&minimum_calls),
            "minimum_calls",
            minimum_calls,
            match self {
                Self::Calls(calls) => format!("1 to the window, {calls}"),
                Self::Time(_) => "at least 1".to_owned(),
            },
        );
    }
}

/// How one call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// How many calls ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

impl Sums {
    fn add(&mut self, ending: Ending) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(ending.failed));
        self.slow = self.slow.saturating_add(u32::from(ending.slow));
    }

    fn subtract(&mut self, other: Self) {
        self.calls -= other.calls;
        self.failures -= other.failures;
        self.slow -= other.slow;
    }
}

/// The calls in a window.
#[derive(Debug)]
pub(super) enum Tally {
    Count(Count),
    Time(Time),
}

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        match window {
            Window::Calls(calls) => Self::Count(Count::new(calls)),
            Window::Time(span) => Self::Time(Time::new(span)),
        }
    }

    /// Takes in one call that ended at `now`.
    pub(super) fn push(&mut self, ending: Ending, now: Instant) {
        match self {
            Self::Count(count) => count.push(ending),
            Self::Time(time) => time.push(ending, now),
        }
    }

    /// What the window holds, as of the latest call.
    pub(super) fn sums(&self) -> Sums {
        match self {
            Self::Count(count) => count.sums(),
            Self::Time(time) => time.sums(),
        }
    }

    /// What the window holds at `now`.
    pub(super) fn sums_at(&mut self, now: Instant) -> Sums {
        if let Self::Time(time) = self {
            time.advance(now);
        }
        self.sums()
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Count(count) => count.clear(),
            Self::Time(time) => time.clear(),
        }
    }

    /// Whether one more success would change nothing.
    pub(super) fn is_saturated(&self) -> bool {
        match self {
            Self::Count(count) => count.is_saturated(),
            Self::Time(_) => false,
        }
    }
}
