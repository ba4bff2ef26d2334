use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, duration};

/// The bounds of a registry as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many keys it keeps at most.
    pub capacity: u32,
    /// A key that nobody has asked for in so long may be evicted also while there is room.
    #[serde(with = "duration")]
    pub idle: Duration,
}

impl Config {
    /// More hosts or tenants than most services see; a few megabytes of limiters.
    pub const CAPACITY: u32 = 10_000;
    /// More would be a database.
    pub const CAPACITY_MAX: u32 = 100_000_000;
    /// Longer than the pause of one who comes back soon.
    pub const IDLE: Duration = Duration::from_secs(600);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        problems.check(
            (1..=Self::CAPACITY_MAX).contains(&self.capacity),
            "capacity",
            self.capacity,
            format!("1 to {}", Self::CAPACITY_MAX),
        );
        let idle = duration::format(self.idle);
        problems.check(!self.idle.is_zero(), "idle", idle, "more than 0s");
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            capacity: Self::CAPACITY,
            idle: Self::IDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            capacity: 0,
            idle: Duration::ZERO,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["capacity", "idle"]);
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let config: Config = serde_json::from_str(r#"{"idle": "1m"}"#).expect("readable");
        assert_eq!(config.capacity, Config::CAPACITY);
        assert_eq!(config.idle, Duration::from_secs(60));
        assert!(serde_json::from_str::<Config>(r#"{"size": 1}"#).is_err());
    }
}
