use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tower::{Service, service_fn};

use super::future::ResponseFuture;
use super::schedule::OwnSchedule;
use super::shared::Owner;
use super::{AsClassified, Builder, CloneRequest, Config, Judge, RetryLayer, Snapshot};
use crate::budget::RetryBudget;
use crate::classify::{AnyError, Classify};
use crate::config::ConfigError;
use crate::error::Rejected;

/// Tries again what failed for a reason that may pass; see the [module docs](super).
///
/// Clones, and layers and services made from them, share policy, budget and counters.
#[derive(Clone)]
pub struct Retry(Arc<Owner>);

impl Retry {
    /// A retry with the defaults of the [module docs](super).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(
        config: Config,
        budget: Option<RetryBudget>,
        schedule: Option<OwnSchedule>,
    ) -> Self {
        Self(Arc::new(Owner::new(config, budget, schedule)))
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.shared.config()
    }

    /// The budget that bounds the retries, if there is one.
    #[must_use]
    pub fn budget(&self) -> Option<&RetryBudget> {
        self.0.shared.budget.as_ref()
    }

    /// What it has done, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.shared.snapshot()
    }

    /// Takes on another policy from now on, also for what is still to come of the calls on their way; but
    /// for the deadline of those that have waited already. Budget, counters and a schedule of your own
    /// stay.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.shared.reconfigure(config);
        Ok(())
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
        E: From<Rejected> + 'static,
    {
        let judge = Judge {
            classifier: |result: Result<&T, &E>| classifier.classify(result),
            predicate: AsClassified,
        };
        let next = |attempt: &u32| Some(attempt + 1);
        self.call(service_fn(call), (judge, next), 1).await
    }

    /// A Tower layer with this policy.
    #[must_use]
    pub fn layer(&self) -> RetryLayer {
        self.0.layer();
        RetryLayer::new(self.clone())
    }

    /// Begins a call: pays in for it and makes the first attempt.
    #[inline]
    pub(super) fn call<S, J, R, Req>(
        &self,
        service: S,
        parts: (J, R),
        request: Req,
    ) -> ResponseFuture<S, J, R, Req>
    where
        S: Service<Req>,
        R: CloneRequest<Req>,
    {
        let shared = &self.0.shared;
        if let Some(budget) = &shared.budget {
            budget.deposit();
        }
        let may_retry = shared.attempts() > 1;
        ResponseFuture::new(service, self.0.pass, parts, request, may_retry)
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("config", &self.config())
            .field("budget", &self.budget())
            .finish_non_exhaustive()
    }
}
