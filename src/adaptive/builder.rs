use std::sync::Arc;
use std::time::Duration;

use super::{Adaptive, Algorithm, Config};
use crate::config::{ConfigError, Ratio};

/// Builds an [`Adaptive`] limit.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    config: Config,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: Config::default(),
        }
    }

    /// Takes the whole policy from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Begins with this limit.
    pub fn initial(mut self, calls: u32) -> Self {
        self.config.initial = calls;
        self
    }

    /// Never lets the limit fall below.
    pub fn min(mut self, calls: u32) -> Self {
        self.config.min = calls;
        self
    }

    /// Never lets the limit grow above.
    pub fn max(mut self, calls: u32) -> Self {
        self.config.max = calls;
        self
    }

    /// What moves the limit.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.config.algorithm = algorithm;
        self
    }

    /// Looks at so many calls at least, over so long at least, before it moves the limit.
    pub fn window(mut self, samples: u32, time: Duration) -> Self {
        self.config.samples = samples;
        self.config.window = time;
        self
    }

    /// Cuts the limit when more than this share of the calls in a window was dropped.
    pub fn drop_rate(mut self, rate: Ratio) -> Self {
        self.config.drop_rate = rate;
        self
    }

    /// What a cut leaves of the limit.
    pub fn cut_to(mut self, share: Ratio) -> Self {
        self.config.cut_to = share;
        self
    }

    /// Checks the policy and makes the limit.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn build(self) -> Result<Adaptive, ConfigError> {
        self.config.check()?;
        Ok(Adaptive::new(self.name, self.config))
    }
}
