use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::{Backoff, Jitter};
use crate::config::{ConfigError, Problems, Ratio, duration};

/// The policy of a breaker as plain data, e.g. from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The share of failures in the window at which it opens; `None` switches the rule off.
    pub failure_rate: Option<Ratio>,
    /// How many of the latest calls the window holds.
    pub window: u32,
    /// How many calls the window must hold before the rate says anything.
    pub minimum_calls: u32,
    /// How many failures in a row open it; `None` switches the rule off.
    pub consecutive_failures: Option<u32>,
    /// How long it stays open, and how that grows.
    pub open_for: Backoff,
    /// How many calls pass while half-open, and how many must succeed to close it.
    pub probes: u32,
    /// How long a probe may hold its place.
    #[serde(with = "duration")]
    pub probe_lease: Duration,
}

impl Config {
    /// Half of the calls: a service that fails that often does more harm than good.
    pub const FAILURE_RATE: Ratio = Ratio::HALF;
    /// Enough calls for a share to mean something, few enough to notice within seconds.
    pub const WINDOW: u32 = 100;
    /// One failure among a handful of calls must not open it.
    pub const MINIMUM_CALLS: u32 = 20;
    /// A restart takes about this long.
    pub const OPEN_FOR: Duration = Duration::from_secs(5);
    /// Longer waits only delay the recovery.
    pub const OPEN_FOR_CAP: Duration = Duration::from_secs(120);
    /// One success may be luck, many probes may be too much.
    pub const PROBES: u32 = 3;
    /// More would be a load, not a probe.
    pub const PROBES_MAX: u32 = 1_000;
    /// Longer than any sensible timeout of a call.
    pub const PROBE_LEASE: Duration = Duration::from_secs(30);
    /// The largest window: it costs a bit per call.
    pub const WINDOW_MAX: u32 = 1_000_000;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        if let Some(rate) = self.failure_rate {
            problems.check(rate > Ratio::ZERO, "failure_rate", rate, "above 0 to 1");
        }
        problems.check(
            self.failure_rate.is_some() || self.consecutive_failures.is_some(),
            "failure_rate",
            "off together with consecutive_failures",
            "at least one of the two rules",
        );
        problems.check(
            (1..=Self::WINDOW_MAX).contains(&self.window),
            "window",
            self.window,
            format!("1 to {}", Self::WINDOW_MAX),
        );
        problems.check(
            (1..=self.window.max(1)).contains(&self.minimum_calls),
            "minimum_calls",
            self.minimum_calls,
            format!("1 to the window, {}", self.window),
        );
        if let Some(failures) = self.consecutive_failures {
            problems.check(failures > 0, "consecutive_failures", failures, "at least 1");
        }
        self.open_for.check("open_for", &mut problems);
        problems.check(
            (1..=Self::PROBES_MAX).contains(&self.probes),
            "probes",
            self.probes,
            format!("1 to {}", Self::PROBES_MAX),
        );
        let lease = duration::format(self.probe_lease);
        problems.check(
            !self.probe_lease.is_zero(),
            "probe_lease",
            lease,
            "more than 0s",
        );
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failure_rate: Some(Self::FAILURE_RATE),
            window: Self::WINDOW,
            minimum_calls: Self::MINIMUM_CALLS,
            consecutive_failures: None,
            // Equal jitter: spread, but never at once, which full jitter allows.
            open_for: Backoff::exponential(Self::OPEN_FOR)
                .cap(Self::OPEN_FOR_CAP)
                .jitter(Jitter::Equal),
            probes: Self::PROBES,
            probe_lease: Self::PROBE_LEASE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            failure_rate: Some(Ratio::ZERO),
            window: 0,
            minimum_calls: 0,
            consecutive_failures: Some(0),
            open_for: Backoff::constant(Duration::ZERO),
            probes: 0,
            probe_lease: Duration::ZERO,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        let all = [
            "failure_rate",
            "window",
            "minimum_calls",
            "consecutive_failures",
            "open_for.base",
            "probes",
            "probe_lease",
        ];
        assert_eq!(fields, all);
    }

    #[test]
    fn a_minimum_above_the_window_and_no_rule_at_all_are_refused() {
        let config = Config {
            window: 10,
            minimum_calls: 11,
            ..Config::default()
        };
        assert!(config.check().is_err());
        let config = Config {
            failure_rate: None,
            consecutive_failures: None,
            ..Config::default()
        };
        assert!(config.check().is_err());
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let config: Config =
            serde_json::from_str(r#"{"window": 10, "minimum_calls": 5, "probe_lease": "250ms"}"#)
                .expect("readable");
        assert_eq!(config.probe_lease, Duration::from_millis(250));
        assert_eq!(config.probes, Config::PROBES);
        assert!(serde_json::from_str::<Config>(r#"{"windows": 10}"#).is_err());
    }
}
