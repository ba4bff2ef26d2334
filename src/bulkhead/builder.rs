use std::sync::Arc;
use std::time::Duration;

use super::{Bulkhead, Config, Order};
use crate::config::ConfigError;

/// Builds a [`Bulkhead`].
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

    /// Lets so many calls run at once.
    pub fn limit(mut self, calls: u32) -> Self {
        self.config.limit = calls;
        self
    }

    /// Lets so many more calls wait for a place; 0 rejects at once.
    pub fn queue(mut self, calls: u32) -> Self {
        self.config.queue = calls;
        self
    }

    /// Lets a call wait for so long.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = wait;
        self
    }

    /// Who of those that wait gets the next place.
    pub fn order(mut self, order: Order) -> Self {
        self.config.order = order;
        self
    }

    /// Checks the policy and makes the bulkhead, empty.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn build(self) -> Result<Bulkhead, ConfigError> {
        self.config.check()?;
        Ok(Bulkhead::new(self.name, self.config))
    }
}
