use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tower::service_fn;

use super::future::ResponseFuture;
use super::latencies::Latencies;
use super::{Budget, Builder, Config, Delay, HedgeLayer, Snapshot};
use crate::classify::{AnyError, Classify};

/// Begins further attempts beside one that is slow; see the [module docs](super).
///
/// Clones are the same hedge.
#[derive(Clone)]
pub struct Hedge(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    config: Config,
    budget: Option<Arc<dyn Budget>>,
    /// `None` when the delay is fixed.
    latencies: Option<Mutex<Latencies>>,
    /// The delay in nanoseconds.
    delay: AtomicU64,
    started: AtomicU64,
    won: AtomicU64,
    refused: AtomicU64,
}

impl Hedge {
    /// A hedge for the service `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config, budget: Option<Arc<dyn Budget>>) -> Self {
        let (delay, latencies) = match config.delay {
            Delay::Fixed(delay) => (delay, None),
            Delay::Percentile { share, initial } => {
                (initial, Some(Mutex::new(Latencies::new(share))))
            }
        };
        Self(Arc::new(Shared {
            name,
            config,
            budget,
            latencies,
            delay: AtomicU64::new(nanos(delay)),
            started: AtomicU64::new(0),
            won: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
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
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = &*self.0;
        let calls = shared.latencies.as_ref().map_or(0, |latencies| {
            let latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.calls()
        });
        Snapshot {
            name: Arc::clone(&shared.name),
            delay: self.delay(),
            calls,
            started: shared.started.load(Ordering::Relaxed),
            won: shared.won.load(Ordering::Relaxed),
            refused: shared.refused.load(Ordering::Relaxed),
        }
    }

    /// How long to wait now before the next attempt begins.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_nanos(self.0.delay.load(Ordering::Relaxed))
    }

    /// Whether it wants to know how long calls take.
    pub(super) fn is_timed(&self) -> bool {
        self.0.latencies.is_some()
    }

    /// Pays for attempt `attempt`, or says that it must not be made.
    pub(super) fn begin(&self, attempt: u32, reason: &'static str) -> bool {
        let shared = &*self.0;
        if shared.budget.as_ref().is_some_and(|b| !b.try_withdraw()) {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(name: "bowline.hedge.refused", hedge = &*shared.name);
            return false;
        }
        shared.started.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(name: "bowline.hedge.attempt", hedge = &*shared.name, attempt, reason);
        true
    }

    /// Takes in that a call has succeeded, how long it took if that says something, and whether a
    /// further attempt has won it.
    pub(super) fn succeeded(&self, took: Option<Duration>, by_hedge: bool) {
        let shared = &*self.0;
        if let Some(budget) = &shared.budget {
            budget.deposit();
        }
        if by_hedge {
            shared.won.fetch_add(1, Ordering::Relaxed);
        }
        if let (Some(latencies), Some(took)) = (&shared.latencies, took) {
            let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(percentile) = latencies.record(took) {
                let delay = percentile.max(Delay::PERCENTILE_MIN);
                shared.delay.store(nanos(delay), Ordering::Relaxed);
            }
        }
    }
}

fn nanos(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("name", &self.0.name)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
