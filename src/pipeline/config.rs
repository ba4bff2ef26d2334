use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::BudgetPolicy;
use crate::config::{ConfigError, Problems, duration};
use crate::timeout::check_limit;
use crate::{breaker, bulkhead, rate, retry};

/// The policy of a pipeline as plain data, e.g. from a file. What is `None` is left out, and so is what a
/// file does not name, but for the budget of a retry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long a whole call may take.
    #[serde(with = "duration::option")]
    pub deadline: Option<Duration>,
    /// Whether and how to try again.
    pub retry: Option<retry::Config>,
    /// What bounds the share of calls that are tried again. `None`, as where a file does not name it, is a
    /// budget with the defaults of [`budget`](crate::budget); in
    /// [`Pipeline::reconfigure`](super::Pipeline::reconfigure) it is the budget as it is.
    pub retry_budget: Option<BudgetPolicy>,
    /// How often the service may be asked, and how long an attempt may wait until it is.
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
            breaker: Some(breaker::Config::default()),
            bulkhead: Some(bulkhead::Config::default()),
            attempt_timeout: Some(Self::ATTEMPT_TIMEOUT),
            ..Self::default()
        }
    }

    /// Checks every field of every part, and whether they fit together.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check_into(&mut problems);
        problems.into_result()
    }

    pub(super) fn check_into(&self, problems: &mut Problems) {
        check_times(self.deadline, self.attempt_timeout, problems);
        let parts = [
            ("retry", self.retry.as_ref().map(retry::Config::check)),
            (
                "retry_budget",
                self.retry_budget.as_ref().map(BudgetPolicy::check),
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
