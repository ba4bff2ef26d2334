use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};

/// The policy of a timeout or a deadline as plain data, e.g. from a file.
///
/// It has no default: how long is too long is known only to who makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long the call may take.
    #[serde(with = "duration")]
    pub limit: Duration,
}

impl Config {
    /// Far beyond any use, and far below what 64 bits of nanoseconds hold.
    pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

    /// A policy of this limit, not checked.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        check_limit("limit", self.limit, &mut problems);
        problems.into_result()
    }
}

/// Adds what is wrong with the limit of `field` to `problems`.
pub(crate) fn check_limit(field: &str, limit: Duration, problems: &mut Problems) {
    problems.check(
        !limit.is_zero() && limit <= Config::LONGEST,
        field,
        duration::format(limit),
        "more than 0s, at most ten years",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_from_json_and_refuses_zero_and_unknown_fields() {
        let read = serde_json::from_str::<Config>;
        let config = read(r#"{"limit": "800ms"}"#).expect("readable");
        assert_eq!(config, Config::new(Duration::from_millis(800)));
        assert!(config.check().is_ok());
        assert!(read("{}").is_err());
        assert!(read(r#"{"limit": "1s", "limits": "2s"}"#).is_err());
        let refused = Config::new(Duration::ZERO).check().expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "1 problem in the configuration: limit is 0s, allowed: more than 0s, at most ten years"
        );
        assert!(Config::new(Config::LONGEST).check().is_ok());
        assert!(Config::new(Duration::MAX).check().is_err());
    }
}
