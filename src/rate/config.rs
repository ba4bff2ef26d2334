use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Rate;
use crate::config::{ConfigError, Problems, duration};

/// The policy of a rate limiter as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many permits there are in the long run.
    pub rate: Rate,
    /// How many permits may be taken at once after a pause; `None` for those of
    /// [`BURST_TIME`](Self::BURST_TIME), at least 1.
    #[serde(default)]
    pub burst: Option<u32>,
    /// How long a call may wait for its permit; one that would wait longer is rejected at once.
    #[serde(with = "duration", default)]
    pub max_wait: Duration,
}

impl Config {
    /// What comes within a tenth of a second comes at the same time, for a person or for a scheduler.
    pub const BURST_TIME: Duration = Duration::from_millis(100);
    /// Far beyond any use, and far below what 64 bits of nanoseconds hold.
    pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

    /// This rate, with the default burst, and nobody waits.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self {
            rate,
            burst: None,
            max_wait: Duration::ZERO,
        }
    }

    /// Sets how many permits may be taken at once.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Sets how long a call may wait.
    #[must_use]
    pub const fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// How many permits may be taken at once, the default put in.
    #[must_use]
    pub fn burst_or_default(&self) -> u32 {
        self.burst
            .unwrap_or_else(|| self.rate.permits_in(Self::BURST_TIME))
    }

    /// Checks every field.
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
        self.rate.check("rate", problems);
        let burst = self.burst_or_default();
        let fill = u128::from(self.rate.interval_nanos()) * u128::from(burst);
        problems.check(
            burst > 0 && fill <= Self::LONGEST.as_nanos(),
            "burst",
            burst,
            "from 1, at most the permits of ten years",
        );
        problems.check(
            self.max_wait <= Self::LONGEST,
            "max_wait",
            duration::format(self.max_wait),
            "at most ten years",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(config: Config) -> Vec<String> {
        let error = config.check().expect_err("refused");
        error.problems().iter().map(|p| p.field.clone()).collect()
    }

    #[test]
    fn every_problem_is_reported() {
        let day = Duration::from_secs(86_400);
        let config = Config::new(Rate::per_second(0))
            .burst(0)
            .max_wait(day * 36_500);
        assert_eq!(fields(config), ["rate", "burst", "max_wait"]);
        assert_eq!(fields(Config::new(Rate::new(1, Duration::ZERO))), ["rate"]);
        assert_eq!(
            fields(Config::new(Rate::new(2, Duration::from_nanos(1)))),
            ["rate"]
        );
        assert_eq!(
            fields(Config::new(Rate::new(1, day)).burst(3_651)),
            ["burst"]
        );
        assert!(Config::new(Rate::new(1, day)).burst(3_650).check().is_ok());
        assert!(
            Config::new(Rate::new(1, Duration::from_nanos(1)))
                .check()
                .is_ok()
        );
    }

    #[test]
    fn the_default_burst_is_what_comes_at_the_same_time() {
        for (rate, burst) in [
            (Rate::per_second(1), 1),
            (Rate::per_second(100), 10),
            (Rate::per_minute(6_000), 10),
            (Rate::per_second(1_000_000_000), 100_000_000),
        ] {
            assert_eq!(Config::new(rate).burst_or_default(), burst, "{rate}");
        }
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let text = r#"{"rate": "100/s", "burst": 20, "max_wait": "250ms"}"#;
        let config: Config = serde_json::from_str(text).expect("readable");
        let expected = Config::new(Rate::per_second(100))
            .burst(20)
            .max_wait(Duration::from_millis(250));
        assert_eq!(config, expected);
        let again = serde_json::to_string(&config).expect("writable");
        assert_eq!(serde_json::from_str::<Config>(&again).ok(), Some(config));
        let short: Config = serde_json::from_str(r#"{"rate": "1/m"}"#).expect("readable");
        assert_eq!(short, Config::new(Rate::per_minute(1)));
        for bad in [
            r#"{"burst": 1}"#,
            r#"{"rate": "1/s", "wait": "1s"}"#,
            r#"{"rate": 5}"#,
        ] {
            assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }
}
