use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};
use crate::timeout::check_limit;
use crate::{breaker, budget, bulkhead, rate, retry};

/// The policy of a pipeline as plain data, e.g. from a file. What is `None` is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long a whole call may take.
    #[serde(with = "duration::option")]
    pub deadline: Option<Duration>,
    /// Whether and how to try again.
    pub retry: Option<retry::Config>,
    /// What bounds the share of calls that are tried again; `None` leaves it to the attempts.
    pub retry_budget: Option<budget::Config>,
    /// How often the service may be asked.
    pub rate_limit: Option<rate::Config>,
    /// When to stop asking.
    pub breaker: Option<breaker::Config>,
    /// How many calls may run at once.
    pub bulkhead: Option<bulkhead::Config>,
    /// How long one attempt may take.
    #[serde(with = "duration::option")]
    pub attempt_timeout: Option<Duration>,
}

impl Config {
    /// Three attempts that take as long as they may, with a little left for the waits.
    pub const DEADLINE: Duration = Duration::from_secs(10);
    /// More than a healthy service takes for nearly every call.
    pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

    /// Everything but a rate limit, with the defaults of each.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            deadline: Some(Self::DEADLINE),
            retry: Some(retry::Config::default()),
            retry_budget: Some(budget::Config::default()),
            rate_limit: None,
            breaker: Some(breaker::Config::default()),
            bulkhead: Some(bulkhead::Config::default()),
            attempt_timeout: Some(Self::ATTEMPT_TIMEOUT),
        }
    }

    /// Checks every field of every part, and whether they fit together.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        check_times(self.deadline, self.attempt_timeout, &mut problems);
        let parts = [
            ("retry", self.retry.as_ref().map(retry::Config::check)),
            (
                "retry_budget",
                self.retry_budget.as_ref().map(budget::Config::check),
            ),
            (
                "rate_limit",
                self.rate_limit.as_ref().map(rate::Config::check),
            ),
            ("breaker", self.breaker.as_ref().map(breaker::Config::check)),
            (
                "bulkhead",
                self.bulkhead.as_ref().map(bulkhead::Config::check),
            ),
        ];
        for (part, checked) in parts {
            if let Some(Err(error)) = checked {
                problems.extend(part, error);
            }
        }
        problems.into_result()
    }
}

/// Adds what is wrong with the two times to `problems`.
pub(super) fn check_times(
    deadline: Option<Duration>,
    attempt: Option<Duration>,
    problems: &mut Problems,
) {
    for (field, time) in [("deadline", deadline), ("attempt_timeout", attempt)] {
        if let Some(time) = time {
            check_limit(field, time, problems);
        }
    }
    if let (Some(deadline), Some(attempt)) = (deadline, attempt) {
        problems.check(
            attempt <= deadline,
            "attempt_timeout",
            duration::format(attempt),
            format!("at most the deadline, {}", duration::format(deadline)),
        );
    }
}
