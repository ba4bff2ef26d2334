use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use super::builder::from_config;
use super::meters::{End, Meters};
use super::witness::Witness;
use super::{Builder, Config, PipelineLayer, Snapshot};
use crate::breaker::Breaker;
use crate::bulkhead::Bulkhead;
use crate::classify::{AnyError, Classify};
use crate::config::ConfigError;
use crate::error::Rejected;
use crate::rate::RateLimiter;
use crate::retry::Retry;
use crate::timeout::{Deadline, Timeout};

/// The standard stack around one service; see the [module docs](super).
///
/// Clones share all parts.
#[derive(Clone)]
pub struct Pipeline(Arc<Parts>);

/// From the outside in; what is `None` is left out.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) deadline: Option<Deadline>,
    pub(super) retry: Option<Retry>,
    pub(super) rate_limit: Option<RateLimiter>,
    pub(super) breaker: Option<Breaker>,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) attempt_timeout: Option<Timeout>,
    pub(super) meters: Meters,
    /// Held while the policy changes, so that two do not mix.
    pub(super) changing: Mutex<()>,
}

impl Parts {
    /// Takes in how a call has ended.
    pub(super) fn ended(&self, end: End) {
        self.meters.ended(end);
        if let End::Failure | End::Rejected = end {
            let (pipeline, outcome) = (&*self.name, end.as_str());
            tracing::debug!(name: "bowline.pipeline.failed", pipeline, outcome);
        }
    }
}

impl Pipeline {
    /// A pipeline in front of `name`, without any part yet.
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    /// A pipeline in front of `name` with all parts of [`Config::standard`].
    ///
    /// # Errors
    ///
    /// None: the defaults are within their ranges.
    pub fn standard(name: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        Self::from_config(name, Config::standard())
    }

    /// A pipeline in front of `name` by this policy. Every part has the same name.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn from_config(name: impl Into<Arc<str>>, config: Config) -> Result<Self, ConfigError> {
        from_config(name.into(), config)
    }

    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Runs `call`, with the number of the attempt from 1, through all parts; judged by [`AnyError`].
    ///
    /// # Errors
    ///
    /// The last error of `call`, or the [`Rejected`] of a part made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the running attempt and makes no further one; every place that it held is
    /// given back.
    pub async fn run<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: Fn(u32) -> Fut,
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
        F: Fn(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected> + 'static,
    {
        let attempt = |number| self.attempt(classifier, &call, number);
        let tried = || async {
            match &self.0.retry {
                Some(retry) => retry.run_with(classifier, attempt).await,
                None => attempt(1).await,
            }
        };
        let judge = |result: Result<&T, &E>| classifier.classify(result);
        let mut witness = Witness::new(&self.0, || judge);
        let result = match &self.0.deadline {
            Some(deadline) => deadline.call(tried).await,
            None => tried().await,
        };
        witness.tell(result.as_ref());
        result
    }

    async fn attempt<C, F, Fut, T, E>(&self, classifier: &C, call: &F, number: u32) -> Result<T, E>
    where
        C: Classify<T, E>,
        F: Fn(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected> + 'static,
    {
        if let Some(limiter) = &self.0.rate_limit
            && let Some(reservation) = limiter.wait_for(1)?
        {
            // In a box: it is rare, and would make the future of every call as large.
            Box::pin(reservation.wait()).await;
        }
        let timed = || async {
            match &self.0.attempt_timeout {
                Some(timeout) => timeout.call(|| call(number)).await,
                None => call(number).await,
            }
        };
        let placed = || async {
            match &self.0.bulkhead {
                Some(bulkhead) => bulkhead.call(timed).await,
                None => timed().await,
            }
        };
        match &self.0.breaker {
            Some(breaker) => breaker.call_with(classifier, placed).await,
            None => placed().await,
        }
    }

    /// Hands each part its policy of `config`. All that the parts have seen stays: the breaker its state,
    /// the budget what was saved, the bulkhead who runs and waits. A part that is also in another pipeline
    /// changes there as well; a budget that `config` does not name stays as it is. Calls meanwhile may meet
    /// some parts before and others after.
    ///
    /// # Errors
    ///
    /// All problems at once, and nothing is changed then: those of the policy; a part that it has and the
    /// pipeline was built without, or the other way round.
    pub fn reconfigure(&self, config: &Config) -> Result<(), ConfigError> {
        self.0.reconfigure(config)
    }

    /// A Tower layer of all parts.
    #[must_use]
    pub fn layer(&self) -> PipelineLayer {
        PipelineLayer::new(Arc::clone(&self.0))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The deadline of the whole call, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<&Deadline> {
        self.0.deadline.as_ref()
    }

    /// The retry, if there is one.
    #[must_use]
    pub fn retry(&self) -> Option<&Retry> {
        self.0.retry.as_ref()
    }

    /// The rate limiter, if there is one.
    #[must_use]
    pub fn rate_limit(&self) -> Option<&RateLimiter> {
        self.0.rate_limit.as_ref()
    }

    /// The breaker, if there is one.
    #[must_use]
    pub fn breaker(&self) -> Option<&Breaker> {
        self.0.breaker.as_ref()
    }

    /// The bulkhead, if there is one.
    #[must_use]
    pub fn bulkhead(&self) -> Option<&Bulkhead> {
        self.0.bulkhead.as_ref()
    }

    /// The timeout of an attempt, if there is one.
    #[must_use]
    pub fn attempt_timeout(&self) -> Option<&Timeout> {
        self.0.attempt_timeout.as_ref()
    }

    /// All there is to see of all parts, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let parts = &*self.0;
        Snapshot {
            name: Arc::clone(&parts.name),
            retry: parts.retry.as_ref().map(Retry::snapshot),
            rate_limit: parts.rate_limit.as_ref().map(RateLimiter::snapshot),
            breaker: parts.breaker.as_ref().map(Breaker::snapshot),
            bulkhead: parts.bulkhead.as_ref().map(Bulkhead::snapshot),
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
