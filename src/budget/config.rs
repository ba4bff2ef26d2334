use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::deposit;
use crate::config::{ConfigError, Problems, duration};

/// The policy of a budget as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many retries one call pays for, in billionths at the finest.
    pub ratio: f64,
    /// How many retries a second are free.
    pub floor: u32,
    /// How long a deposit may be used.
    #[serde(with = "duration")]
    pub ttl: Duration,
    /// How many retries may be saved.
    pub capacity: u32,
    /// How many retries one counts for when the service has asked for fewer calls.
    pub throttled_cost: u32,
}

impl Config {
    /// One retry for five calls: a service that fails altogether gets a fifth more calls, not three times
    /// as many.
    pub const RATIO: f64 = 0.2;
    /// More than this is no bound.
    pub const RATIO_MAX: f64 = 100.0;
    /// Enough for a client with little traffic, too little to hurt a service.
    pub const FLOOR: u32 = 10;
    /// As `capacity` has it.
    pub const FLOOR_MAX: u32 = 1_000_000;
    /// What was good half a minute ago says nothing about now.
    pub const TTL: Duration = Duration::from_secs(10);
    /// A slice of it is a millisecond then, and timers are no finer.
    pub const TTL_MIN: Duration = Duration::from_millis(10);
    /// Longer is for ever.
    pub const TTL_MAX: Duration = Duration::from_secs(60 * 60);
    /// What a service that stood up to the calls before can take once.
    pub const CAPACITY: u32 = 1_000;
    /// More would be no bound.
    pub const CAPACITY_MAX: u32 = 1_000_000;
    /// A service that asks for fewer calls means it.
    pub const THROTTLED_COST: u32 = 2;
    /// More would be none at all.
    pub const THROTTLED_COST_MAX: u32 = 100;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let is_ratio = (0.0..=Self::RATIO_MAX).contains(&self.ratio);
        let ratios = format!("0 to {}", Self::RATIO_MAX);
        problems.check(is_ratio, "ratio", self.ratio, ratios);
        problems.check(
            self.floor <= Self::FLOOR_MAX,
            "floor",
            self.floor,
            format!("0 to {}", Self::FLOOR_MAX),
        );
        let pays = deposit(self.ratio) > 0;
        if !pays && self.floor == 0 {
            problems.add("floor", "0 together with a ratio of 0", "one of the two");
        }
        problems.check(
            (Self::TTL_MIN..=Self::TTL_MAX).contains(&self.ttl),
            "ttl",
            duration::format(self.ttl),
            format!(
                "{} to {}",
                duration::format(Self::TTL_MIN),
                duration::format(Self::TTL_MAX)
            ),
        );
        let counts = [
            ("capacity", self.capacity, Self::CAPACITY_MAX),
            (
                "throttled_cost",
                self.throttled_cost,
                Self::THROTTLED_COST_MAX,
            ),
        ];
        for (field, value, max) in counts {
            let fine = (1..=max).contains(&value);
            problems.check(fine, field, value, format!("1 to {max}"));
        }
        // What costs more than there can ever be is never granted.
        let saved = if pays { self.capacity } else { 0 };
        let most = saved.saturating_add(self.floor);
        let beyond =
            (most.saturating_add(1)..=Self::THROTTLED_COST_MAX).contains(&self.throttled_cost);
        if is_ratio && most > 0 && beyond {
            let allowed = format!("1 to {most}, which is all that it can hold");
            problems.add("throttled_cost", self.throttled_cost, allowed);
        }
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ratio: Self::RATIO,
            floor: Self::FLOOR,
            ttl: Self::TTL,
            capacity: Self::CAPACITY,
            throttled_cost: Self::THROTTLED_COST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: Config) -> Vec<String> {
        let error = config.check().expect_err("refused");
        let problems = error.problems().iter();
        problems.map(|problem| problem.field.clone()).collect()
    }

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            ratio: -0.1,
            floor: u32::MAX,
            ttl: Duration::ZERO,
            capacity: 0,
            throttled_cost: 0,
        };
        let all = ["ratio", "floor", "ttl", "capacity", "throttled_cost"];
        assert_eq!(refused(config), all);
        for ratio in [f64::NAN, f64::INFINITY, 100.1] {
            let config = Config {
                ratio,
                ..Config::default()
            };
            assert_eq!(refused(config), ["ratio"], "{ratio}");
        }
        let nothing = Config {
            ratio: 0.0,
            floor: 0,
            ..Config::default()
        };
        assert_eq!(refused(nothing), ["floor"]);
        let next_to_nothing = Config {
            ratio: 1e-10,
            ..nothing
        };
        assert_eq!(refused(next_to_nothing), ["floor"]);
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn a_throttled_failure_that_could_never_be_paid_for_is_refused() {
        for (ratio, floor, capacity, cost, fine) in [
            (0.0, 1, 1_000, 1, true),
            (0.0, 1, 1_000, 2, false),
            (0.5, 0, 1, 1, true),
            (0.5, 0, 1, 2, false),
            (0.5, 1, 1, 2, true),
            (0.5, 3, 4, 7, true),
            (0.5, 3, 4, 8, false),
        ] {
            let config = Config {
                ratio,
                floor,
                capacity,
                throttled_cost: cost,
                ..Config::default()
            };
            assert_eq!(config.check().is_ok(), fine, "{config:?}");
            if !fine {
                assert_eq!(refused(config), ["throttled_cost"]);
            }
        }
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let config: Config = serde_json::from_str(r#"{"ratio": 2.0, "ttl": "1s"}"#).expect("read");
        assert_eq!((config.ratio, config.ttl), (2.0, Duration::from_secs(1)));
        assert_eq!(config.floor, Config::FLOOR);
        let text = serde_json::to_string(&config).expect("writable");
        assert_eq!(serde_json::from_str::<Config>(&text).expect("read"), config);
        assert!(serde_json::from_str::<Config>(r#"{"percent": 10}"#).is_err());
    }
}
