use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::opening::{OpenFor, Opening};
use super::{Breaker, Cancelled, Config, RampUp, Window};
use crate::backoff::Backoff;
use crate::config::{ConfigError, Ratio};

/// Builds a [`Breaker`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    config: Config,
    open_for: Option<OpenFor>,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: Config::default(),
            open_for: None,
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

    /// Opens at this share of calls in the window that took at least `slow_call`. Calls are timed then.
    pub fn slow_calls(mut self, rate: Ratio, slow_call: Duration) -> Self {
        self.config.slow_call_rate = Some(rate);
        self.config.slow_call = slow_call;
        self
    }

    /// Looks at these calls.
    pub fn window(mut self, window: Window) -> Self {
        self.config.window = window;
        self
    }

    /// Looks at the shares only once the window holds so many calls.
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

    /// Stays open for as long as `open_for` says, which is asked each time it opens, outside any lock.
    /// What [`open_for`](Self::open_for) says holds until it has answered, and if it panics.
    pub fn open_for_fn<F>(mut self, open_for: F) -> Self
    where
        F: Fn(Opening) -> Duration + Send + Sync + 'static,
    {
        self.open_for = Some(Arc::new(open_for));
        self
    }

    /// Lets so many calls pass while half-open.
    pub fn probes(mut self, probes: u32) -> Self {
        self.config.probes = probes;
        self
    }

    /// Closes when this share of the probes has succeeded, and opens when it cannot be reached.
    pub fn success_ratio(mut self, ratio: Ratio) -> Self {
        self.config.success_ratio = ratio;
        self
    }

    /// Lets traffic come back little by little once the probes have succeeded.
    pub fn ramp_up(mut self, ramp_up: RampUp) -> Self {
        self.config.ramp_up = Some(ramp_up);
        self
    }

    /// What a call says that is dropped before it ends.
    pub fn cancelled(mut self, cancelled: Cancelled) -> Self {
        self.config.cancelled = cancelled;
        self
    }

    /// Gives the place of a probe that has not answered for so long to another call. The answer of the first
    /// counts nevertheless, if it comes before the breaker has closed or opened.
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
        Ok(Breaker::new(self.name, self.config, self.open_for))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
