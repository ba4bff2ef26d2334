use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tower::{Service, service_fn};

use super::future::{Begun, ResponseFuture};
use super::schedule::{OwnSchedule, Schedule};
use super::shared::Owner;
use super::spare::Spare;
use super::{AsClassified, Builder, Config, Judge, RetryLayer, Snapshot};
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
    /// The name of a retry that was given none.
    pub const NAME: &'static str = "retry";

    /// A retry with the defaults of the [module docs](super).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(
        name: Arc<str>,
        config: Config,
        budget: Option<RetryBudget>,
        schedule: Option<OwnSchedule>,
    ) -> Self {
        Self(Arc::new(Owner::new(name, config, budget, schedule)))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.shared.name
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
        let mut service = service_fn(call);
        let first = service.call(1);
        let again = self.may_retry().then_some(2);
        let spare = Spare::own(service);
        ResponseFuture::new(self.begin(), (judge, next), again, spare, || first).await
    }

    /// A Tower layer with this policy.
    #[must_use]
    pub fn layer(&self) -> RetryLayer {
        self.0.layer();
        RetryLayer::new(self.clone())
    }

    /// Whether there may be more than one attempt.
    #[inline]
    pub(super) fn may_retry(&self) -> bool {
        self.0.shared.attempts() > 1
    }

    /// What a call takes along.
    #[inline]
    pub(super) fn begin(&self) -> Begun {
        let budget = self.0.shared.budget.as_ref();
        Begun {
            pass: self.0.pass,
            owes: budget.is_some_and(RetryBudget::is_due),
            schedule: Schedule::new(self.0.schedule.as_ref()),
        }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", self.name())
            .field("config", &self.config())
            .field("budget", &self.budget())
            .finish_non_exhaustive()
    }
}
