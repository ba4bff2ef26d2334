use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Problems, Ratio, duration};

/// How long to wait for an attempt before the next one begins beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Delay {
    /// Always so long.
    Fixed(#[serde(with = "duration")] Duration),
    /// As long as this share of the latest calls took at most.
    #[non_exhaustive]
    Percentile {
        /// The share of calls that are not hedged.
        share: Ratio,
        /// How long to wait until enough calls are known.
        #[serde(with = "duration", default = "initial")]
        initial: Duration,
    },
}

impl Delay {
    /// Timers are not finer: what answers faster would be hedged by chance.
    pub const PERCENTILE_MIN: Duration = Duration::from_millis(1);
    /// Late rather than early, while nothing is known.
    pub const INITIAL: Duration = Duration::from_secs(1);

    /// Always `delay`.
    #[must_use]
    pub const fn fixed(delay: Duration) -> Self {
        Self::Fixed(delay)
    }

    /// As long as `share` of the latest calls took at most; `initial` until enough of them are known.
    #[must_use]
    pub const fn percentile(share: Ratio, initial: Duration) -> Self {
        Self::Percentile { share, initial }
    }

    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        if let Self::Percentile { share, initial } = *self {
            problems.check(
                share > Ratio::ZERO && share < Ratio::ONE,
                format!("{field}.percentile.share"),
                share,
                "above 0 and below 1",
            );
            problems.check(
                !initial.is_zero(),
                format!("{field}.percentile.initial"),
                duration::format(initial),
                "more than 0s",
            );
        }
    }
}

fn initial() -> Duration {
    Delay::INITIAL
}
