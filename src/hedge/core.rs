use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tower::service_fn;

use super::future::ResponseFuture;
use super::shared::Shared;
use super::{Budget, Builder, Config, HedgeLayer, Snapshot};
use crate::classify::{AnyError, Classify};
use crate::config::ConfigError;

/// Begins further attempts beside one that is slow; see the [module docs](super).
///
/// Clones are the same hedge.
#[derive(Clone)]
pub struct Hedge(Arc<Shared>);

impl Hedge {
    /// A hedge for the service `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config, budget: Option<Arc<dyn Budget>>) -> Self {
        Self(Arc::new(Shared::new(name, config, budget)))
    }

    /// Runs `call`, with the number of the attempt from 1, until one attempt has the answer; judged by
    /// [`AnyError`].
    ///
    /// # Errors
    ///
    /// A permanent or ignored error of an attempt, or that of the first one when all have failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops all attempts.
    pub async fn run<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: Fn(u32) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: 'static,
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
    {
        let judge = |result: Result<&T, &E>| classifier.classify(result);
        let next = |attempt: &u32| Some(attempt + 1);
        let mut service = service_fn(&call);
        ResponseFuture::new(&mut service, self.clone(), (judge, next), 1).await
    }

    /// A Tower layer around this hedge; every layer and service made from it shares the state.
    #[must_use]
    pub fn layer(&self) -> HedgeLayer {
        HedgeLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.config()
    }

    /// What pays for further attempts, if they are to be paid for.
    #[must_use]
    pub fn budget(&self) -> Option<&dyn Budget> {
        self.0.budget.as_deref()
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }

    /// Takes on another policy from now on, also for what is still to come of the calls on their way; but
    /// a call that began as the only attempt has no other. Budget and counters stay, and what is known of
    /// the latest calls, unless the delay is fixed now.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.reconfigure(config);
        Ok(())
    }

    /// How many attempts there are at most now.
    pub(super) fn attempts(&self) -> u32 {
        self.0.attempts()
    }

    /// How long to wait now before the next attempt begins.
    pub(super) fn delay(&self) -> Duration {
        self.0.delay()
    }

    /// Whether it wants to know how long calls take.
    pub(super) fn is_timed(&self) -> bool {
        self.0.is_timed()
    }

    /// Pays for attempt `attempt`, or says that it must not be made.
    pub(super) fn begin(&self, attempt: u32, reason: &'static str) -> bool {
        let granted = self.budget().is_none_or(Budget::try_withdraw);
        if granted {
            self.0.start(attempt, reason);
        } else {
            self.0.refuse();
        }
        granted
    }

    /// Takes in that a call has succeeded, how long it took if that says something, and whether a
    /// further attempt has won it.
    pub(super) fn succeeded(&self, took: Option<Duration>, by_hedge: bool) {
        if let Some(budget) = self.budget() {
            budget.deposit();
        }
        if by_hedge {
            self.0.win();
        }
        if let Some(took) = took {
            self.0.record(took);
        }
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("name", &self.0.name)
            .field("config", &self.config())
            .finish_non_exhaustive()
    }
}
