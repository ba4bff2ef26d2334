use std::future::Future;

use tower::service_fn;

use super::future::ResponseFuture;
use super::{Builder, Config, RetryLayer};
use crate::classify::{AnyError, Classify};
use crate::error::Rejected;

/// Tries again what failed for a reason that may pass; see the [module docs](super).
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    config: Config,
}

impl Retry {
    /// A retry with the defaults of the [module docs](super).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) const fn new(config: Config) -> Self {
        Self { config }
    }

    /// The policy.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Runs `call`, with the number of the attempt from 1, until it succeeds or there is no further
    /// attempt; judged by [`AnyError`].
    ///
    /// # Errors
    ///
    /// The last error of `call`, or [`Rejected::Elapsed`] made into it when the deadline came while
    /// an attempt was running.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the running attempt and makes no further one.
    pub async fn run<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected> + 'static,
    {
        self.run_with(&AnyError, call).await
    }

    /// As [`run`](Self::run), judged by `classifier`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_with<C, F, Fut, T, E>(&self, classifier: &C, call: F) -> Result<T, E>
    where
        C: Classify<T, E>,
        F: FnMut(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected>,
    {
        let judge = |result: Result<&T, &E>| classifier.classify(result);
        let next = |attempt: &u32| Some(attempt + 1);
        ResponseFuture::new(service_fn(call), self.config, (judge, next), 1).await
    }

    /// A Tower layer with this policy.
    #[must_use]
    pub fn layer(&self) -> RetryLayer {
        RetryLayer::new(self.config)
    }
}
