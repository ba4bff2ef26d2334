use std::sync::Arc;
use std::time::Duration;

use super::{Breaker, Config};
use crate::backoff::Backoff;
use crate::config::{ConfigError, Ratio};

/// Builds a [`Breaker`].
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

    /// Opens at this share of failures in the window.
    pub fn failure_rate(mut self, rate: Ratio) -> Self {
        self.config.failure_rate = Some(rate);
        self
    }

    /// Does not look at the share of failures.
    pub fn without_failure_rate(mut self) -> Self {
        self.config.failure_rate = None;
        self
    }

    /// Looks at the latest `calls` calls.
    pub fn window(mut self, calls: u32) -> Self {
        self.config.window = calls;
        self
    }

    /// Looks at the share of failures only once the window holds so many calls.
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.config.minimum_calls = calls;
        self
    }

    /// Opens after so many failures in a row.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.config.consecutive_failures = Some(failures);
        self
    }

    /// How long it stays open: the first delay for the first time, the next one for each time it
    /// opens again before it was closed.
    pub fn open_for(mut self, backoff: Backoff) -> Self {
        self.config.open_for = backoff;
        self
    }

    /// Lets so many calls pass while half-open, and closes after as many successes.
    pub fn probes(mut self, probes: u32) -> Self {
        self.config.probes = probes;
        self
    }

    /// Gives the place of a probe that has not answered for so long to another call.
    pub fn probe_lease(mut self, lease: Duration) -> Self {
        self.config.probe_lease = lease;
        self
    }

    /// Checks the policy and makes the breaker, closed.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn build(self) -> Result<Breaker, ConfigError> {
        self.config.check()?;
        Ok(Breaker::new(self.name, self.config))
    }
}
