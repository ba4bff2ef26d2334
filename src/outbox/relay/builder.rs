use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use super::{Config, OnPoison, Relay};
use crate::backoff::Backoff;
use crate::config::ConfigError;

/// Builds a [`Relay`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<S, P> {
    store: S,
    publisher: P,
    config: Config,
    name: Arc<str>,
}

impl<S, P> Builder<S, P> {
    pub(super) fn new(store: S, publisher: P) -> Self {
        Self {
            store,
            publisher,
            config: Config::default(),
            name: "outbox".into(),
        }
    }

    /// Names the outbox in metrics: `outbox`, unless a process has several.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Takes the whole configuration from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Publishes at most so many rows together.
    pub fn window(mut self, rows: NonZeroUsize) -> Self {
        self.config.window = rows;
        self
    }

    /// Keeps the lease for so long without a word.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// Looks for new rows after so long without a hint.
    pub fn poll(mut self, poll: Duration) -> Self {
        self.config.poll = poll;
        self
    }

    /// Waits by this schedule after transient failures.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Does this with a row that can never be published.
    pub fn on_poison(mut self, on_poison: OnPoison) -> Self {
        self.config.on_poison = on_poison;
        self
    }

    /// Takes a row for poison after so many relays have ended with it alone in hand.
    pub fn crash_limit(mut self, crashes: NonZeroU32) -> Self {
        self.config.crash_limit = crashes;
        self
    }

    /// Checks the configuration and makes the relay, with an owner name that no other relay has.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn build(self) -> Result<Relay<S, P>, ConfigError> {
        self.config.check()?;
        Ok(Relay::new(
            self.store,
            self.publisher,
            self.config,
            &self.name,
        ))
    }
}
