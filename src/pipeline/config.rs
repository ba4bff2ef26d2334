use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};
use crate::timeout::check_limit;
use crate::{breaker, budget, bulkhead, rate, retry};

/// The policy of a pipeline as plain data, e.g. from a file. What is `None` is left out, and so is what a
/// file does not name, but for the budget of a retry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long a whole call may take.
    #[serde(with = "duration::option")]
    pub deadline: Option<Duration>,
    /// Whether and how to try again.
    pub retry: Option<retry::Config>,
    /// What bounds the share of calls that are tried again, by default a budget with its own defaults.
    /// `None`, which is `"none"` in a file, leaves it to the attempts.
    #[serde(with = "budget_or_none")]
    pub retry_budget: Option<budget::Config>,
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
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: None,
            retry: None,
            // Without a bound, retries make an outage out of a failure: who wants none has to say so.
            retry_budget: Some(budget::Config::default()),
            rate_limit: None,
            breaker: None,
            bulkhead: None,
            attempt_timeout: None,
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

/// The budget of a retry in a file: a policy, or the word that there is none.
mod budget_or_none {
    use std::fmt;

    use serde::de::value::MapAccessDeserializer;
    use serde::de::{Error, MapAccess, Unexpected, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::budget;

    const NONE: &str = "none";

    pub(super) fn serialize<S: Serializer>(
        budget: &Option<budget::Config>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match budget {
            Some(budget) => budget.serialize(serializer),
            None => serializer.serialize_str(NONE),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<budget::Config>, D::Error> {
        deserializer.deserialize_any(BudgetOrNone)
    }

    struct BudgetOrNone;

    impl<'de> Visitor<'de> for BudgetOrNone {
        type Value = Option<budget::Config>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "the policy of a budget, or {NONE:?}")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            budget::Config::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text {
                NONE => Ok(None),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }
}
