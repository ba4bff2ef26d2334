use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::after;
use crate::config::{ConfigError, Problems, duration};
use crate::deadline;

/// The policy of a bulkhead as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many calls may run at once.
    pub limit: u32,
    /// How many more may wait for a place; 0 rejects at once.
    pub queue: u32,
    /// How long a call may wait.
    #[serde(with = "duration")]
    pub max_wait: Duration,
    /// Who of those that wait gets the next place.
    pub order: Order,
}

/// Who of those that wait gets the next place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Order {
    /// Who has waited longest.
    #[default]
    Fifo,
    /// Who has waited longest, and who came last while the queue is more than half full: under
    /// overload the newest are those who can still use an answer. Known as adaptive LIFO (Maurer,
    /// "Fail at Scale", ACM Queue 13(8), 2015).
    AdaptiveLifo,
}

impl Config {
    /// Enough for 640 calls a second of 100 ms each; few enough for one process to bear.
    pub const LIMIT: u32 = 64;
    /// More is no limit.
    pub const LIMIT_MAX: u32 = 1_000_000;
    /// A queue hides an overload until those in it have been given up: whoever knows of bursts asks
    /// for one.
    pub const QUEUE: u32 = 0;
    /// More is a leak.
    pub const QUEUE_MAX: u32 = 1_000_000;
    /// Long enough for a burst to pass, short enough for the caller to do something else.
    pub const MAX_WAIT: Duration = Duration::from_millis(100);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        problems.check(
            (1..=Self::LIMIT_MAX).contains(&self.limit),
            "limit",
            self.limit,
            format!("1 to {}", Self::LIMIT_MAX),
        );
        problems.check(
            self.queue <= Self::QUEUE_MAX,
            "queue",
            self.queue,
            format!("0 to {}", Self::QUEUE_MAX),
        );
        problems.check(
            !self.max_wait.is_zero(),
            "max_wait",
            duration::format(self.max_wait),
            "more than 0s",
        );
        problems.into_result()
    }

    /// Until when a call that begins to wait now may wait: a deadline of the caller may end sooner.
    pub(super) fn wait_until(&self, now: Instant) -> Instant {
        let until = after(now, self.max_wait);
        deadline::current().map_or(until, |end| end.min(until))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limit: Self::LIMIT,
            queue: Self::QUEUE,
            max_wait: Self::MAX_WAIT,
            order: Order::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            limit: 0,
            queue: u32::MAX,
            max_wait: Duration::ZERO,
            order: Order::Fifo,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["limit", "queue", "max_wait"]);
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let json = r#"{"limit": 8, "queue": 16, "max_wait": "250ms", "order": "adaptive-lifo"}"#;
        let config: Config = serde_json::from_str(json).expect("readable");
        assert_eq!((config.limit, config.queue), (8, 16));
        assert_eq!(config.max_wait, Duration::from_millis(250));
        assert_eq!(config.order, Order::AdaptiveLifo);
        let again = serde_json::to_string(&config).expect("writable");
        assert_eq!(
            serde_json::from_str::<Config>(&again).expect("readable"),
            config
        );
        assert!(serde_json::from_str::<Config>(r#"{"limits": 8}"#).is_err());
    }
}
