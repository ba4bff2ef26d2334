use std::sync::Arc;
use std::time::Duration;

use super::{Config, Rate, RateLimiter};
use crate::config::{ConfigError, Problems};

/// Builds a [`RateLimiter`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    rate: Option<Rate>,
    burst: Option<u32>,
    max_wait: Duration,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            rate: None,
            burst: None,
            max_wait: Duration::ZERO,
        }
    }

    /// Takes the whole policy from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.rate = Some(config.rate);
        self.burst = config.burst;
        self.max_wait = config.max_wait;
        self
    }

    /// Gives so many permits in the long run. There is no default.
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// Lets so many permits be taken at once after a pause.
    pub fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Lets a call wait so long for its permit. Zero: it is rejected when there is none.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Checks the policy and makes the limiter, with a full burst.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; a rate that is not set is one.
    pub fn build(self) -> Result<RateLimiter, ConfigError> {
        let mut problems = Problems::default();
        problems.check(self.rate.is_some(), "rate", "not set", "a rate");
        let config = Config {
            // Stands in until the problem is reported.
            rate: self.rate.unwrap_or(Rate::per_second(1)),
            burst: self.burst,
            max_wait: self.max_wait,
        };
        config.check_into(&mut problems);
        problems.into_result()?;
        Ok(RateLimiter::new(self.name, config))
    }
}
