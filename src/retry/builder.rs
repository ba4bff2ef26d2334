use std::time::Duration;

use super::{Config, Retry};
use crate::backoff::Backoff;
use crate::config::ConfigError;

/// Builds a [`Retry`].
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// Takes the whole policy from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes so many attempts at most, the first one included.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// Waits by this schedule between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Gives all attempts and waits together so much time.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Checks the policy.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn build(self) -> Result<Retry, ConfigError> {
        self.config.check()?;
        Ok(Retry::new(self.config))
    }
}
