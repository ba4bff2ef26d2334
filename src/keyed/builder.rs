use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use super::{Config, Registry};
use crate::config::ConfigError;

/// Makes the value of a key.
pub(super) type Make<K, V> = Box<dyn Fn(&K) -> V + Send + Sync>;

/// Builds a [`Registry`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<K, V> {
    name: Option<Arc<str>>,
    make: Make<K, V>,
    overflow: Option<V>,
    config: Config,
}

impl<K, V> Builder<K, V> {
    pub(super) fn new(make: Make<K, V>) -> Self {
        Self {
            name: None,
            make,
            overflow: None,
            config: Config::default(),
        }
    }

    /// Its name in events and metrics, `keyed` by default.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What all keys share that find no room. Without it the first of them makes what they share, or they
    /// share nothing, as [`Evict::OVERFLOW`](super::Evict::OVERFLOW) says.
    pub fn overflow(mut self, value: V) -> Self {
        self.overflow = Some(value);
        self
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
        let Self {
            name,
            make,
            overflow,
            config,
        } = self;
        let name = name.unwrap_or_else(|| "keyed".into());
        Ok(Registry::new(Shared::new(name, make, overflow, config)))
    }
}

impl<K, V> fmt::Debug for Builder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
