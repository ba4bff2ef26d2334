use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::{Chaos, Config, NoFault};
use crate::config::{ConfigError, Problems, Ratio};

/// Builds a [`Chaos`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<F = NoFault> {
    name: Arc<str>,
    config: Config,
    faults: F,
    has_faults: bool,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: Config::default(),
            faults: NoFault,
            has_faults: false,
        }
    }
}

impl<F> Builder<F> {
    /// Takes everything but the error itself from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Lets this share of the calls fail, with what `error`, a `Fn() -> Err`, makes.
    pub fn error<G>(mut self, rate: Ratio, error: G) -> Builder<G> {
        self.config.error_rate = rate;
        self.errors(error)
    }

    /// Makes the error by `error`, a `Fn() -> Err`, and leaves the rate as it is.
    pub fn errors<G>(self, error: G) -> Builder<G> {
        Builder {
            name: self.name,
            config: self.config,
            faults: error,
            has_faults: true,
        }
    }

    /// Lets this share of the calls be late by a time of this range.
    pub fn latency(mut self, rate: Ratio, late: Range<Duration>) -> Self {
        self.config.latency_rate = rate;
        self.config.latency_min = late.start;
        self.config.latency_max = late.end;
        self
    }

    /// Lets the trace begin here: the same seed gives the same trace.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Checks everything and makes the chaos, switched off.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn build(self) -> Result<Chaos<F>, ConfigError> {
        let mut problems = Problems::default();
        self.config.check_with(self.has_faults, &mut problems);
        problems.into_result()?;
        let shared = Shared::new(self.name, self.config, self.has_faults);
        Ok(Chaos::new(shared, self.faults))
    }
}

impl<F> fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
