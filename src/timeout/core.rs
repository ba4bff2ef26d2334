use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::future::ResponseFuture;
use super::{Config, TimeoutLayer};
use crate::config::ConfigError;
use crate::deadline::Shared;
use crate::error::Rejected;

/// Gives up a call that takes too long; see the [module docs](super).
///
/// Clones, and layers and services made from them, share the policy.
#[derive(Debug, Clone)]
pub struct Timeout(Arc<Shared>);

impl Timeout {
    /// The name of a timeout that was given none.
    pub const NAME: &'static str = "timeout";

    /// Gives one attempt this much time.
    ///
    /// # Errors
    ///
    /// When `limit` is out of range.
    pub fn new(limit: Duration) -> Result<Self, ConfigError> {
        Self::from_config(Config::new(limit))
    }

    /// A timeout with this policy.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn from_config(config: Config) -> Result<Self, ConfigError> {
        Self::named(Self::NAME, config.limit)
    }

    /// The same under the name of the service, for events and metrics.
    ///
    /// # Errors
    ///
    /// When `limit` is out of range.
    pub fn named(name: impl Into<Arc<str>>, limit: Duration) -> Result<Self, ConfigError> {
        Config::new(limit).check()?;
        let metric = ("bowline.timeout.elapsed", "timeout");
        Ok(Self(Arc::new(Shared::new(metric, name.into(), limit))))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        self.0.name()
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        Config::new(self.0.limit())
    }

    /// Takes on another policy, for the calls that are made from now on.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.set_limit(config.limit);
        Ok(())
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
        self.limited(self.0.limit(), call()).await
    }

    /// A Tower layer with this policy; every layer and service made from it shares it.
    #[must_use]
    pub fn layer(&self) -> TimeoutLayer {
        TimeoutLayer::new(self.clone())
    }

    #[inline]
    pub(super) fn limit(&self) -> Duration {
        self.0.limit()
    }

    #[inline]
    pub(super) fn limited<F>(&self, limit: Duration, call: F) -> ResponseFuture<F> {
        ResponseFuture::new(call, limit, self.0.listener())
    }
}
