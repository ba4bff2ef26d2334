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
}

impl Config {
    /// Two more than one: what does not help twice seldom helps a third time.
    pub const ATTEMPTS: u32 = 3;
    /// More would be a loop, not a policy.
    pub const ATTEMPTS_MAX: u32 = 100;
    /// As long as a person or a caller's own timeout waits.
    pub const DEADLINE: Duration = Duration::from_secs(30);

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
        let deadline = duration::format(self.deadline);
        problems.check(
            !self.deadline.is_zero(),
            "deadline",
            deadline,
            "more than 0s",
        );
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts: Self::ATTEMPTS,
            backoff: Backoff::default(),
            deadline: Self::DEADLINE,
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
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["attempts", "backoff.base", "deadline"]);
        assert!(Config::default().check().is_ok());
    }
}
