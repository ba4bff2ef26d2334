use std::fmt;
use std::time::Duration;

use super::{Config, Registry};
use crate::config::ConfigError;

/// Makes the value of a key.
pub(super) type Make<K, V> = Box<dyn Fn(&K) -> V + Send + Sync>;

/// Builds a [`Registry`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<K, V> {
    make: Make<K, V>,
    config: Config,
}

impl<K, V> Builder<K, V> {
    pub(super) fn new(make: Make<K, V>) -> Self {
        Self {
            make,
            config: Config::default(),
        }
    }

    /// Takes all bounds from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps so many keys at most.
    pub fn capacity(mut self, capacity: u32) -> Self {
        self.config.capacity = capacity;
        self
    }

    /// Evicts keys that nobody has asked for in so long also while there is room.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// Checks the bounds and makes the registry, empty.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn build(self) -> Result<Registry<K, V>, ConfigError> {
        self.config.check()?;
        Ok(Registry::new(self.make, self.config))
    }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
