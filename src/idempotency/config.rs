use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};

/// How long claims and results are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long a claim lives after its last sign of life.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long a result is remembered; must outlast every redelivery.
    #[serde(with = "duration")]
    pub keep: Duration,
}

impl Config {
    /// Long enough for a pause of the process, short enough to wait for after a crash.
    pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);

    /// As long as topics keep their records by default.
    pub const DEFAULT_KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Checks both times.
    ///
    /// # Errors
    ///
    /// When the lease is not 30 ms to one day, or results are kept for a shorter time than the
    /// lease or for more than ten years.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let mut problems = Problems::default();
        problems.check(
            (Duration::from_millis(30)..=DAY).contains(&self.lease),
            "lease",
            duration::format(self.lease),
            "30ms to 1d",
        );
        problems.check(
            (self.lease..=3_650 * DAY).contains(&self.keep),
            "keep",
            duration::format(self.keep),
            "the lease to 3650d",
        );
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lease: Self::DEFAULT_LEASE,
            keep: Self::DEFAULT_KEEP,
        }
    }
}
