use serde::{Deserialize, Serialize};

use super::Delay;
use crate::config::{ConfigError, Problems, Ratio};

/// The policy of a hedge as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How long to wait for an attempt before the next one begins.
    pub delay: Delay,
    /// How many attempts there are, the first one included.
    pub attempts: u32,
}

impl Config {
    /// What two places do not answer in time, a third seldom does.
    pub const ATTEMPTS: u32 = 2;
    /// Each attempt has its place in the future of the call.
    pub const ATTEMPTS_MAX: u32 = 4;
    /// How many hedges a call that succeeds pays for in the budget that a hedge has of its own. The default
    /// delay hedges one call in twenty: twice that lets the tail be cut also where some calls fail, and when
    /// all calls become slow at once the load grows by a tenth and not to the double.
    pub const BUDGET_RATIO: f64 = 0.1;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.delay.check("delay", &mut problems);
        problems.check(
            (1..=Self::ATTEMPTS_MAX).contains(&self.attempts),
            "attempts",
            self.attempts,
            format!("1 to {}", Self::ATTEMPTS_MAX),
        );
        problems.into_result()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            delay: Delay::percentile(share(), Delay::INITIAL),
            attempts: Self::ATTEMPTS,
        }
    }
}

/// One call in twenty is hedged: enough to cut the tail, little enough to be no load.
fn share() -> Ratio {
    Ratio::percent(95)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_problem_is_reported() {
        let config = Config {
            delay: Delay::percentile(Ratio::ONE, Duration::ZERO),
            attempts: 5,
        };
        let error = config.check().expect_err("refused");
        let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
        let all = [
            "delay.percentile.share",
            "delay.percentile.initial",
            "attempts",
        ];
        assert_eq!(fields, all);
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let read = serde_json::from_str::<Config>;
        let config = read(r#"{"delay": {"fixed": "50ms"}, "attempts": 3}"#).expect("readable");
        assert_eq!(config.delay, Delay::fixed(Duration::from_millis(50)));
        let config = read(r#"{"delay": {"percentile": {"share": 0.99}}}"#).expect("readable");
        let expected = Delay::percentile(Ratio::percent(99), Delay::INITIAL);
        assert_eq!(config.delay, expected);
        let again = serde_json::to_string(&config).expect("writable");
        assert_eq!(read(&again).expect("readable"), config);
        for bad in [
            r#"{"delays": {}}"#,
            r#"{"delay": {"percentile": {"share": 0.9, "begin": "1s"}}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
