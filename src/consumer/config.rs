use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::config::{Problems, duration};

/// How a consumer works. In a file every field may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many records of one partition may wait before the partition is paused. Also the most that
    /// one poll asks for, so that up to one less than twice as many can be in memory.
    pub queue: NonZeroUsize,
    /// How long a finished record may wait to be committed with others.
    #[serde(with = "duration")]
    pub commit_interval: Duration,
    /// How long running handlers may go on when partitions are revoked or the consumer is stopped.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// How long to wait before a failed record is tried again.
    pub backoff: Backoff,
}

impl Config {
    /// 128 records: enough to keep a handler busy between two polls, little to read again after a
    /// rebalance.
    pub const DEFAULT_QUEUE: NonZeroUsize = NonZeroUsize::new(128).unwrap();
    /// 100 ms: at most a tenth of a second of work is repeated after a crash, for ten commits a
    /// second at most.
    pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(100);
    /// 10 s: longer than a handler should take, shorter than an orchestrator waits before it kills.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
    /// The longest commit interval: one minute, for what is not committed is done again.
    pub const MAX_COMMIT_INTERVAL: Duration = Duration::from_secs(60);
    /// The longest drain timeout: one hour. A broker waits for a member only so long and then takes
    /// the partitions away: Kafka twice the session timeout.
    pub const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(3600);

    /// Adds what is wrong to `problems`.
    pub fn check(&self, problems: &mut Problems) {
        let limits = [
            (
                "commit_interval",
                self.commit_interval,
                Self::MAX_COMMIT_INTERVAL,
            ),
            ("drain_timeout", self.drain_timeout, Self::MAX_DRAIN_TIMEOUT),
        ];
        for (field, value, max) in limits {
            let allowed = format!("at most {}", duration::format(max));
            problems.check(value <= max, field, duration::format(value), allowed);
        }
        self.backoff.check("backoff", problems);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue: Self::DEFAULT_QUEUE,
            commit_interval: Self::DEFAULT_COMMIT_INTERVAL,
            drain_timeout: Self::DEFAULT_DRAIN_TIMEOUT,
            backoff: Backoff::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_name_only_what_it_changes() {
        let config: Config =
            serde_json::from_str(r#"{"queue": 8, "drain_timeout": "2s"}"#).unwrap();
        let wanted = Config {
            queue: NonZeroUsize::new(8).unwrap(),
            drain_timeout: Duration::from_secs(2),
            ..Config::default()
        };
        assert_eq!(config, wanted);
        assert!(serde_json::from_str::<Config>(r#"{"queu": 8}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"queue": 0}"#).is_err());
    }
}
