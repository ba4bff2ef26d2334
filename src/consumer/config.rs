use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::config::{Problems, duration};

/// What keeps its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the three ways there are")]
pub enum Order {
    /// Records of one partition with the same key; those without a key have no order.
    #[default]
    Key,
    /// Nothing.
    None,
    /// Records of one partition.
    Partition,
}

/// How a consumer works. In a file every field may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// What keeps its order.
    pub order: Order,
    /// How many records are with the handler at once, at most.
    pub concurrency: NonZeroUsize,
    /// How many records of one partition may wait or run before the partition is paused. Also the most
    /// that one poll asks for, so that up to one less than twice as many can be in memory.
    pub queue: NonZeroUsize,
    /// How many records of one partition may have come after the oldest that is not done, done or not,
    /// before the partition is paused: bounds what one record that fails again and again can pile up.
    pub window: NonZeroUsize,
    /// How long the handler may take for one record; as long as it likes when `None`.
    #[serde(with = "duration::option")]
    pub deadline: Option<Duration>,
    /// How long a finished record may wait to be committed with others.
    #[serde(with = "duration")]
    pub commit_interval: Duration,
    /// How long running handlers may go on when partitions are revoked or the consumer is stopped.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
    /// How long to wait before a failed record is tried again.
    pub backoff: Backoff,
    /// How often the broker is asked where the partitions end; never when `None`, and then no lag is
    /// known.
    #[serde(with = "duration::option")]
    pub lag_interval: Option<Duration>,
}

impl Config {
    /// 64 at once: hides the waits of a handler that asks a database or a service, and overruns
    /// neither.
    pub const DEFAULT_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(64).unwrap();
    /// 1,024 records: keys differ enough among so many to keep all of the concurrency busy.
    pub const DEFAULT_QUEUE: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
    /// 16,384 records: what is done among them fits into Kafka's 4 KiB of metadata, whatever the order.
    pub const DEFAULT_WINDOW: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
    /// 100 ms: at most a tenth of a second of work is repeated after a crash, for ten commits a
    /// second at most.
    pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(100);
    /// 10 s: longer than a handler should take, shorter than an orchestrator waits before it kills.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
    /// 5 s: several times in what a monitor looks at, and one small request each time.
    pub const DEFAULT_LAG_INTERVAL: Duration = Duration::from_secs(5);
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
        problems.check(
            self.window >= self.queue,
            "window",
            self.window,
            "at least the queue",
        );
        problems.check(
            self.deadline.is_none_or(|deadline| !deadline.is_zero()),
            "deadline",
            "0s",
            "longer than nothing",
        );
        problems.check(
            self.lag_interval.is_none_or(|interval| !interval.is_zero()),
            "lag_interval",
            "0s",
            "longer than nothing",
        );
        self.backoff.check("backoff", problems);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            order: Order::default(),
            concurrency: Self::DEFAULT_CONCURRENCY,
            queue: Self::DEFAULT_QUEUE,
            window: Self::DEFAULT_WINDOW,
            deadline: None,
            commit_interval: Self::DEFAULT_COMMIT_INTERVAL,
            drain_timeout: Self::DEFAULT_DRAIN_TIMEOUT,
            backoff: Backoff::default(),
            lag_interval: Some(Self::DEFAULT_LAG_INTERVAL),
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
