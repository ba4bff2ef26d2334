//! What a breaker remembers of the latest calls.

mod count;
mod tally;
mod time;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Problems, duration};

pub(super) use tally::{Ending, Sums, Tally};

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
