use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::config::{ConfigError, Problems, duration};

/// The policy of a retry as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many attempts there are, the first one included.
    pub attempts: u32,
    /// How long to wait between them.
    pub backoff: Backoff,
    /// How long all attempts and waits may take together.
    #[serde(with = "duration")]
    pub deadline: Duration,
    /// How long one attempt may take; `None` leaves it the whole deadline.
    #[serde(with = "duration::option")]
    pub attempt_timeout: Option<Duration>,
    /// How long a wait the service may ask for.
    #[serde(with = "duration")]
    pub max_retry_after: Duration,
}

impl Config {
    /// Two more than one: what does not help twice seldom helps a third time.
    pub const ATTEMPTS: u32 = 3;
    /// More would be a loop, not a policy.
    pub const ATTEMPTS_MAX: u32 = 100;
    /// As long as a person or a caller's own timeout waits.
    pub const DEADLINE: Duration = Duration::from_secs(30);
    /// As long as the whole call: who asks for more asks for another call.
    pub const MAX_RETRY_AFTER: Duration = Self::DEADLINE;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        problems.check(
            (1..=Self::ATTEMPTS_MAX).contains(&self.attempts),
            "attempts",
            self.attempts,
            format!("1 to {}", Self::ATTEMPTS_MAX),
        );
        self.backoff.check("backoff", &mut problems);
        for (field, value) in [
            ("deadline", Some(self.deadline)),
            ("attempt_timeout", self.attempt_timeout),
            ("max_retry_after", Some(self.max_retry_after)),
        ] {
            if value == Some(Duration::ZERO) {
                problems.add(field, "0s", "more than 0s");
            }
        }
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts: Self::ATTEMPTS,
            backoff: Backoff::default(),
            deadline: Self::DEADLINE,
            attempt_timeout: None,
            max_retry_after: Self::MAX_RETRY_AFTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            attempts: 0,
            backoff: Backoff::constant(Duration::ZERO),
            deadline: Duration::ZERO,
            attempt_timeout: Some(Duration::ZERO),
            max_retry_after: Duration::ZERO,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        let all = [
            "attempts",
            "backoff.base",
            "deadline",
            "attempt_timeout",
            "max_retry_after",
        ];
        assert_eq!(fields, all);
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let text = r#"{"attempts": 5, "attempt_timeout": "800ms",
            "backoff": {"growth": "fibonacci", "base": "10ms", "jitter": "decorrelated"}}"#;
        let config: Config = serde_json::from_str(text).expect("readable");
        assert_eq!(config.attempt_timeout, Some(Duration::from_millis(800)));
        assert_eq!(config.deadline, Config::DEADLINE);
        for config in [config, Config::default()] {
            let text = serde_json::to_string(&config).expect("writable");
            let again: Config = serde_json::from_str(&text).expect("readable");
            assert_eq!(again, config);
        }
        assert!(serde_json::from_str::<Config>(r#"{"retries": 5}"#).is_err());
    }
}
