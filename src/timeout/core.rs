use std::future::Future;
use std::time::Duration;

use super::future::ResponseFuture;
use super::{Config, TimeoutLayer};
use crate::config::ConfigError;
use crate::error::Rejected;

/// Gives up a call that takes too long; see the [module docs](super).
#[derive(Debug, Clone, Copy)]
pub struct Timeout {
    config: Config,
}

impl Timeout {
    /// Gives one attempt this much time.
    ///
    /// # Errors
    ///
    /// When `limit` is zero.
    pub fn new(limit: Duration) -> Result<Self, ConfigError> {
        Self::from_config(Config::new(limit))
    }

    /// A timeout with this policy.
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
        ResponseFuture::new(call(), self.config.limit).await
    }

    /// A Tower layer with this policy.
    #[must_use]
    pub const fn layer(&self) -> TimeoutLayer {
        TimeoutLayer::new(self.config)
    }
}
