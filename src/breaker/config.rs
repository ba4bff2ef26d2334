use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Window;
use crate::backoff::{Backoff, Jitter};
use crate::config::{ConfigError, Problems, Ratio, duration};

/// The policy of a breaker as plain data, e.g. from a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The share of failures in the window at which it opens; `None` switches the rule off.
    pub failure_rate: Option<Ratio>,
    /// The share of slow calls in the window at which it opens; `None` switches the rule off, and
    /// calls are not timed.
    pub slow_call_rate: Option<Ratio>,
    /// A call that takes so long is slow, whatever comes of it.
    #[serde(with = "duration")]
    pub slow_call: Duration,
    /// How many failures in a row open it; `None` switches the rule off.
    pub consecutive_failures: Option<u32>,
    /// Which calls the rates are about.
    pub window: Window,
    /// How many calls the window must hold before a rate says anything.
    pub minimum_calls: u32,
    /// How long it stays open, and how that grows.
    pub open_for: Backoff,
    /// How many calls pass while half-open.
    pub probes: u32,
    /// The share of them that must succeed to close it.
    pub success_ratio: Ratio,
    /// How long a probe may hold its place. Its answer counts later too.
    #[serde(with = "duration")]
    pub probe_lease: Duration,
    /// How it lets traffic come back; `None` lets all of it pass once it is closed.
    pub ramp_up: Option<RampUp>,
    /// What a call says that is dropped before it ends.
    pub cancelled: Cancelled,
}

/// How traffic comes back once the probes have succeeded: a growing share of the calls passes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RampUp {
    /// After so long all calls pass.
    #[serde(with = "duration")]
    pub over: Duration,
    /// The share that passes at first; it grows in a straight line.
    #[serde(default = "first_share")]
    pub from: Ratio,
}

/// What a call says that is dropped before it ends. A probe gives its place back in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cancelled {
    /// It failed.
    Failure,
    /// It failed if it was dropped after so long; else it says nothing.
    FailureAfter(#[serde(with = "duration")] Duration),
    /// It failed if it was dropped after the time that makes a call slow; it says nothing when calls
    /// are not timed.
    #[default]
    FailureIfSlow,
    /// It says nothing.
    Ignored,
}

impl Config {
    /// Half of the calls: a service that fails that often does more harm than good.
    pub const FAILURE_RATE: Ratio = Ratio::HALF;
    /// Enough calls for a share to mean something, few enough to notice within seconds.
    pub const WINDOW: Window = Window::Calls(100);
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
    /// A caller who waits longer has most often gone away.
    pub const SLOW_CALL: Duration = Duration::from_secs(10);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check_rules(&mut problems);
        self.window.check(self.minimum_calls, &mut problems);
        self.open_for.check("open_for", &mut problems);
        problems.check(
            (1..=Self::PROBES_MAX).contains(&self.probes),
            "probes",
            self.probes,
            format!("1 to {}", Self::PROBES_MAX),
        );
        above_zero("success_ratio", Some(self.success_ratio), &mut problems);
        longer_than_zero("probe_lease", self.probe_lease, &mut problems);
        if let Some(RampUp { over, from }) = self.ramp_up {
            longer_than_zero("ramp_up.over", over, &mut problems);
            above_zero("ramp_up.from", Some(from), &mut problems);
        }
        problems.into_result()
    }

    fn check_rules(&self, problems: &mut Problems) {
        above_zero("failure_rate", self.failure_rate, problems);
        above_zero("slow_call_rate", self.slow_call_rate, problems);
        longer_than_zero("slow_call", self.slow_call, problems);
        if let Some(failures) = self.consecutive_failures {
            problems.check(failures > 0, "consecutive_failures", failures, "at least 1");
        }
        problems.check(
            self.failure_rate.is_some()
                || self.slow_call_rate.is_some()
                || self.consecutive_failures.is_some(),
            "failure_rate",
            "off together with slow_call_rate and consecutive_failures",
            "at least one of the three rules",
        );
    }

    /// How long a call must take for that to say something about it; `None` when it never does.
    pub(super) fn timed(&self) -> Option<Duration> {
        match self.cancelled {
            Cancelled::FailureAfter(after) if self.slow_call_rate.is_none() => Some(after),
            _ => self.slow_call_rate.map(|_| self.slow_call),
        }
    }

    /// Whether a call that was dropped after `took` failed.
    pub(super) fn cancelled_is_failure(&self, took: Option<Duration>) -> bool {
        match (self.cancelled, took) {
            (Cancelled::Failure, _) => true,
            (Cancelled::FailureAfter(after), Some(took)) => took >= after,
            (Cancelled::FailureIfSlow, Some(took)) => took >= self.slow_call,
            (Cancelled::FailureAfter(_) | Cancelled::FailureIfSlow, None)
            | (Cancelled::Ignored, _) => false,
        }
    }
}

impl RampUp {
    /// Enough to see whether the service stands, little enough not to push it over.
    pub const FROM: Ratio = Ratio::TENTH;

    /// From a tenth of the calls to all of them, in `over`.
    #[must_use]
    pub const fn over(over: Duration) -> Self {
        Self {
            over,
            from: Self::FROM,
        }
    }

    /// Sets the share that passes at first.
    #[must_use]
    pub const fn from(mut self, share: Ratio) -> Self {
        self.from = share;
        self
    }

    /// The share that passes `since` the begin; `None` once it is all.
    pub(super) fn share(self, since: Duration) -> Option<f64> {
        let from = self.from.value();
        let done = since.as_secs_f64() / self.over.as_secs_f64();
        (done < 1.0).then_some(from + (1.0 - from) * done)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failure_rate: Some(Self::FAILURE_RATE),
            slow_call_rate: None,
            slow_call: Self::SLOW_CALL,
            consecutive_failures: None,
            window: Self::WINDOW,
            minimum_calls: Self::MINIMUM_CALLS,
            // Equal jitter: spread, but never at once, which full jitter allows.
            open_for: Backoff::exponential(Self::OPEN_FOR)
                .cap(Self::OPEN_FOR_CAP)
                .jitter(Jitter::Equal),
            probes: Self::PROBES,
            success_ratio: Ratio::ONE,
            probe_lease: Self::PROBE_LEASE,
            ramp_up: None,
            cancelled: Cancelled::default(),
        }
    }
}

fn first_share() -> Ratio {
    RampUp::FROM
}

fn above_zero(field: &str, ratio: Option<Ratio>, problems: &mut Problems) {
    if let Some(ratio) = ratio {
        problems.check(ratio > Ratio::ZERO, field, ratio, "above 0 to 1");
    }
}

fn longer_than_zero(field: &str, value: Duration, problems: &mut Problems) {
    let shown = duration::format(value);
    problems.check(!value.is_zero(), field, shown, "more than 0s");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            failure_rate: Some(Ratio::ZERO),
            slow_call_rate: Some(Ratio::ZERO),
            slow_call: Duration::ZERO,
            consecutive_failures: Some(0),
            window: Window::Calls(0),
            minimum_calls: 0,
            open_for: Backoff::constant(Duration::ZERO),
            probes: 0,
            success_ratio: Ratio::ZERO,
            probe_lease: Duration::ZERO,
            ramp_up: Some(RampUp::over(Duration::ZERO).from(Ratio::ZERO)),
            cancelled: Cancelled::Ignored,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        let all = [
            "failure_rate",
            "slow_call_rate",
            "slow_call",
            "consecutive_failures",
            "window.calls",
            "minimum_calls",
            "open_for.base",
            "probes",
            "success_ratio",
            "probe_lease",
            "ramp_up.over",
            "ramp_up.from",
        ];
        assert_eq!(fields, all);
    }

    #[test]
    fn a_minimum_above_the_window_and_no_rule_at_all_are_refused() {
        let refused = |config: Config| {
            let error = config.check().expect_err("refused");
            error.problems()[0].field.clone()
        };
        let mut config = Config {
            window: Window::Calls(10),
            minimum_calls: 11,
            ..Config::default()
        };
        assert_eq!(refused(config.clone()), "minimum_calls");
        config.window = Window::Time(Duration::from_secs(1));
        assert!(config.check().is_ok());
        config.window = Window::Time(Duration::from_millis(1));
        assert_eq!(refused(config.clone()), "window.time");
        let config = Config {
            failure_rate: None,
            ..Config::default()
        };
        assert_eq!(refused(config), "failure_rate");
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let config: Config = serde_json::from_str(
            r#"{"window": {"time": "10s"}, "minimum_calls": 5, "probe_lease": "250ms",
                "ramp_up": {"over": "30s"}, "cancelled": {"failure-after": "1s"}}"#,
        )
        .expect("readable");
        assert_eq!(config.window, Window::Time(Duration::from_secs(10)));
        assert_eq!(config.probe_lease, Duration::from_millis(250));
        assert_eq!(config.ramp_up, Some(RampUp::over(Duration::from_secs(30))));
        let after = Cancelled::FailureAfter(Duration::from_secs(1));
        assert_eq!(config.cancelled, after);
        assert_eq!(config.probes, Config::PROBES);
        let again = serde_json::to_string(&config).expect("writable");
        assert_eq!(
            serde_json::from_str::<Config>(&again).expect("readable"),
            config
        );
        assert!(serde_json::from_str::<Config>(r#"{"windows": 10}"#).is_err());
    }
}
