use std::sync::Arc;
use std::time::Duration;

use super::{Config, RetryBudget};
use crate::config::ConfigError;

/// Builds a [`RetryBudget`].
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

    /// Pays for so many retries with each call; 2.0 is two for each.
    pub fn ratio(mut self, ratio: f64) -> Self {
        self.config.ratio = ratio;
        self
    }

    /// Allows so many retries a second that nobody has paid for.
    pub fn floor(mut self, retries_per_second: u32) -> Self {
        self.config.floor = retries_per_second;
        self
    }

    /// Lets a deposit be used for so long.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// Saves so many retries at most.
    pub fn capacity(mut self, retries: u32) -> Self {
        self.config.capacity = retries;
        self
    }

    /// Takes so much for a retry when the service has asked for fewer calls.
    pub fn throttled_cost(mut self, retries: u32) -> Self {
        self.config.throttled_cost = retries;
        self
    }

    /// Checks the policy and makes the budget, with a second's floor in it.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn build(self) -> Result<RetryBudget, ConfigError> {
        self.config.check()?;
        Ok(RetryBudget::made(self.name, &self.config))
    }
}
