use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, Problems, Ratio, duration};

/// The policy of an adaptive limit as plain data, e.g. from a file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The limit at first.
    pub initial: u32,
    /// It never falls below.
    pub min: u32,
    /// It never grows above.
    pub max: u32,
    /// What moves it.
    pub algorithm: Algorithm,
    /// How many calls a window holds at least.
    pub samples: u32,
    /// How long a window is open at least.
    #[serde(with = "duration")]
    pub window: Duration,
    /// The share of drops in a window above which the limit is cut.
    pub drop_rate: Ratio,
    /// What a cut leaves of the limit.
    pub cut_to: Ratio,
}

/// What moves an adaptive limit, besides cuts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Algorithm {
    /// It follows the latency: calls that take longer than they would alone stand in a queue.
    Gradient(Gradient),
    /// It grows until the service drops calls, e.g. because it has a limit of its own.
    Aimd(Aimd),
}

/// How the latency moves the limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Gradient {
    /// How much longer than alone calls may take, as a share.
    pub tolerance: Ratio,
    /// How often it is measured how long calls take alone, when traffic itself does not show it.
    #[serde(with = "duration")]
    pub measure_every: Duration,
}

/// How an additive increase moves the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Aimd {
    /// What is added in each window in which the limit was used.
    pub increase: u32,
}

impl Config {
    /// Any service bears as much, and the way up from there is short.
    pub const INITIAL: u32 = 20;
    /// Without any call nothing would ever show that the service is well again.
    pub const MIN: u32 = 1;
    /// More calls to one service are hardly ever meant.
    pub const MAX: u32 = 1_000;
    /// More is no limit.
    pub const LIMIT_MAX: u32 = 1_000_000;
    /// Enough for a mean that chance moves by a few hundredths.
    pub const SAMPLES: u32 = 50;
    /// More would never be reached.
    pub const SAMPLES_MAX: u32 = 100_000;
    /// Longer than a pause of a garbage collector, short enough to follow a burst.
    pub const WINDOW: Duration = Duration::from_millis(100);
    /// A few failures are everyday; who sheds one call in twenty asks for fewer.
    pub const DROP_RATE_PERCENT: u8 = 5;
    /// What was learned so long ago says little of the service now: the limit of a key may be forgotten, as
    /// far as a [`Registry`](crate::keyed::Registry) is concerned.
    pub const FORGET: Duration = Duration::from_secs(600);
    /// One cut costs little when it was not needed, and ten in a row leave a third.
    pub const CUT_TO_PERCENT: u8 = 90;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let Self {
            initial, min, max, ..
        } = *self;
        problems.check(
            (1..=Self::LIMIT_MAX).contains(&max),
            "max",
            max,
            format!("1 to {}", Self::LIMIT_MAX),
        );
        problems.check((1..=max.max(1)).contains(&min), "min", min, "1 to max");
        problems.check(
            (min..=max).contains(&initial),
            "initial",
            initial,
            "min to max",
        );
        problems.check(
            (1..=Self::SAMPLES_MAX).contains(&self.samples),
            "samples",
            self.samples,
            format!("1 to {}", Self::SAMPLES_MAX),
        );
        longer_than_zero("window", self.window, &mut problems);
        problems.check(
            self.cut_to > Ratio::ZERO && self.cut_to < Ratio::ONE,
            "cut_to",
            self.cut_to,
            "above 0 to below 1",
        );
        self.algorithm.check(&mut problems);
        problems.into_result()
    }
}

impl Algorithm {
    fn check(self, problems: &mut Problems) {
        match self {
            Self::Gradient(Gradient {
                tolerance,
                measure_every,
            }) => {
                let field = "algorithm.gradient.tolerance";
                problems.check(tolerance > Ratio::ZERO, field, tolerance, "above 0 to 1");
                let field = "algorithm.gradient.measure_every";
                longer_than_zero(field, measure_every, problems);
                let shown = duration::format(measure_every);
                let fine = measure_every <= Gradient::LONGEST;
                problems.check(fine, field, shown, "at most 1d");
            }
            Self::Aimd(Aimd { increase }) => {
                let allowed = format!("1 to {}", Config::LIMIT_MAX);
                let fine = (1..=Config::LIMIT_MAX).contains(&increase);
                problems.check(fine, "algorithm.aimd.increase", increase, allowed);
            }
        }
    }
}

impl Gradient {
    /// More hides a queue, less takes chance for one.
    pub const TOLERANCE: Ratio = Ratio::TENTH;
    /// A measurement costs half of the limit for a moment, a twentieth of the time at most.
    pub const MEASURE_EVERY: Duration = Duration::from_secs(30);

    /// Sets how much longer than alone calls may take, as a share.
    #[must_use]
    pub const fn tolerance(mut self, share: Ratio) -> Self {
        self.tolerance = share;
        self
    }

    /// A service changes in a day.
    pub const LONGEST: Duration = Duration::from_secs(24 * 3_600);

    /// Sets how often it is measured how long calls take alone.
    #[must_use]
    pub const fn measure_every(mut self, every: Duration) -> Self {
        self.measure_every = every;
        self
    }
}

impl Aimd {
    /// The additive increase of TCP.
    pub const INCREASE: u32 = 1;

    /// Sets what is added in each window in which the limit was used.
    #[must_use]
    pub const fn increase(mut self, calls: u32) -> Self {
        self.increase = calls;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial: Self::INITIAL,
            min: Self::MIN,
            max: Self::MAX,
            algorithm: Algorithm::Gradient(Gradient::default()),
            samples: Self::SAMPLES,
            window: Self::WINDOW,
            drop_rate: Ratio::percent(Self::DROP_RATE_PERCENT),
            cut_to: Ratio::percent(Self::CUT_TO_PERCENT),
        }
    }
}

impl Default for Gradient {
    fn default() -> Self {
        Self {
            tolerance: Self::TOLERANCE,
            measure_every: Self::MEASURE_EVERY,
        }
    }
}

impl Default for Aimd {
    fn default() -> Self {
        Self {
            increase: Self::INCREASE,
        }
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
        let gradient = Gradient::default().tolerance(Ratio::ZERO);
        let mut config = Config {
            initial: 9,
            min: 0,
            max: 0,
            algorithm: Algorithm::Gradient(gradient.measure_every(Duration::ZERO)),
            samples: 0,
            window: Duration::ZERO,
            drop_rate: Ratio::ZERO,
            cut_to: Ratio::ONE,
        };
        let fields = |config: &Config| {
            let error = config.check().expect_err("refused");
            let fields = error.problems().iter().map(|p| p.field.clone());
            fields.collect::<Vec<_>>()
        };
        let all = [
            "max",
            "min",
            "initial",
            "samples",
            "window",
            "cut_to",
            "algorithm.gradient.tolerance",
            "algorithm.gradient.measure_every",
        ];
        assert_eq!(fields(&config), all);
        config = Config::default();
        assert!(config.check().is_ok());
        config.algorithm = Algorithm::Aimd(Aimd::default().increase(0));
        config.min = config.initial + 1;
        assert_eq!(fields(&config), ["initial", "algorithm.aimd.increase"]);
    }

    #[test]
    fn it_reads_from_json_and_refuses_unknown_fields() {
        let json = r#"{"max": 50, "window": "250ms", "algorithm": {"aimd": {"increase": 2}}}"#;
        let config: Config = serde_json::from_str(json).expect("readable");
        assert_eq!((config.max, config.initial), (50, Config::INITIAL));
        assert_eq!(config.algorithm, Algorithm::Aimd(Aimd { increase: 2 }));
        let again = serde_json::to_string(&config).expect("writable");
        let read: Config = serde_json::from_str(&again).expect("readable");
        assert_eq!(read, config);
        let gradient = r#"{"algorithm": {"gradient": {"tolerance": 0.2}}}"#;
        let config: Config = serde_json::from_str(gradient).expect("readable");
        let tolerant = Gradient::default().tolerance(Ratio::percent(20));
        assert_eq!(config.algorithm, Algorithm::Gradient(tolerant));
        for bad in [
            r#"{"maximum": 5}"#,
            r#"{"algorithm": {"aimd": {"add": 2}}}"#,
        ] {
            assert!(serde_json::from_str::<Config>(bad).is_err(), "{bad}");
        }
    }
}
