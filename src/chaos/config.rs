use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, Ratio, duration};

/// What a chaos does once it is switched on, as plain data. It cannot switch it on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The share of calls that fail.
    pub error_rate: Ratio,
    /// The share of calls that are late.
    pub latency_rate: Ratio,
    /// How late they are at least.
    #[serde(with = "duration")]
    pub latency_min: Duration,
    /// They are less late than that; if it is the same as the least, they are exactly so late.
    #[serde(with = "duration")]
    pub latency_max: Duration,
    /// Where the trace begins; `None` asks the operating system.
    pub seed: Option<u64>,
}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check_fields(&mut problems);
        problems.into_result()
    }

    /// Adds what is wrong with it to `problems`, for a chaos that has errors to give or none.
    pub(super) fn check_with(&self, has_faults: bool, problems: &mut Problems) {
        let rate = self.error_rate;
        let has_errors = has_faults || rate == Ratio::ZERO;
        problems.check(has_errors, "error_rate", rate, "0 without an error to give");
        self.check_fields(problems);
    }

    /// Where the trace begins.
    pub(super) fn rng(&self) -> fastrand::Rng {
        self.seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)
    }

    fn check_fields(&self, problems: &mut Problems) {
        let Self {
            latency_min,
            latency_max,
            ..
        } = *self;
        let shown = duration::format(latency_max);
        if latency_max < latency_min {
            let least = duration::format(latency_min);
            let allowed = format!("at least latency_min, {least}");
            problems.add("latency_max", shown, allowed);
        } else if self.latency_rate > Ratio::ZERO {
            let allowed = "more than 0s, or a latency_rate of 0";
            problems.check(!latency_max.is_zero(), "latency_max", shown, allowed);
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            error_rate: Ratio::ZERO,
            latency_rate: Ratio::ZERO,
            latency_min: Duration::ZERO,
            latency_max: Duration::ZERO,
            seed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let read = serde_json::from_str::<Config>;
        let config = read(r#"{"latency_rate": 0.5, "latency_max": "2s"}"#).expect("readable");
        assert!(config.check().is_ok());
        assert_eq!(config.latency_max, Duration::from_secs(2));
        let again = serde_json::to_string(&config).expect("writable");
        assert_eq!(read(&again).expect("readable"), config);
        assert!(read(r#"{"enabled": true}"#).is_err());
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn a_latency_of_nothing_or_upside_down_is_refused() {
        let second = Duration::from_secs(1);
        for (min, max) in [(Duration::ZERO, Duration::ZERO), (2 * second, second)] {
            let config = Config {
                latency_rate: Ratio::ONE,
                latency_min: min,
                latency_max: max,
                ..Config::default()
            };
            let error = config.check().expect_err("refused");
            assert_eq!(error.problems()[0].field, "latency_max");
        }
    }
}
