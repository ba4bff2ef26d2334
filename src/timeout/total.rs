use std::future::Future;
use std::time::Duration;

use super::{Config, DeadlineLayer};
use crate::config::ConfigError;
use crate::deadline::{Within, enter, within};
use crate::error::Rejected;

/// Gives up a whole call that takes too long, and tells all inside how much time is left; see the
/// [module docs](super) and [`deadline`](crate::deadline).
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    config: Config,
}

impl Deadline {
    /// Gives all attempts and waits together this much time.
    ///
    /// # Errors
    ///
    /// When `limit` is zero.
    pub fn new(limit: Duration) -> Result<Self, ConfigError> {
        Self::from_config(Config::new(limit))
    }

    /// A deadline with this policy.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn from_config(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config })
    }

    /// The policy.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Runs `call` for as long as it may take.
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::Elapsed`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected>,
    {
        begin(self.config.limit, call).await
    }

    /// A Tower layer with this policy.
    #[must_use]
    pub const fn layer(&self) -> DeadlineLayer {
        DeadlineLayer::new(self.config)
    }
}

/// Makes a call under its deadline.
#[inline]
pub(super) fn begin<F>(limit: Duration, call: impl FnOnce() -> F) -> Within<F> {
    let mut end = None;
    let scope = enter(limit, &mut end);
    // The call is written to its place at once: to move a short one costs more than the rest.
    let mut within = within(limit, call());
    drop(scope);
    within.begun(end);
    within
}
