use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::future::Acquire;
use super::shared::Shared;
use super::{Builder, BulkheadLayer, Config, Permit, Snapshot};
use crate::config::ConfigError;
use crate::error::Rejected;
use crate::keyed::Evict;

/// Bounds how many calls run at once; see the [module docs](super).
///
/// Clones are the same bulkhead.
#[derive(Clone)]
pub struct Bulkhead(Arc<Owner>);

struct Owner {
    name: Arc<str>,
    shared: &'static Shared,
}

impl Bulkhead {
    /// A bulkhead in front of `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        let shared = Shared::claim(&name, config);
        Self(Arc::new(Owner { name, shared }))
    }

    /// Takes a place if one is free, and never waits. Works without a runtime.
    ///
    /// # Errors
    ///
    /// [`Rejected::BulkheadFull`] when all places are taken, or kept for those that wait.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        match self.0.shared.enter() {
            Some(permit) => Ok(permit),
            None => self.try_late(),
        }
    }

    #[cold]
    fn try_late(&self) -> Result<Permit, Rejected> {
        self.0.shared.enter_late().ok_or_else(|| self.full())
    }

    /// Takes a place, and waits for one in the queue for as long as the policy allows. It waits with a
    /// timer, so in a `tokio` runtime, but only if it has to wait.
    ///
    /// # Errors
    ///
    /// [`Rejected::BulkheadFull`] at once when all places are taken and the queue is full, and
    /// [`Rejected::QueueTimeout`] when no place came free in time.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it leaves the queue; a place that has just been granted to it goes to
    /// the next one.
    #[must_use = "a future does nothing until it is polled"]
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire::new(self)
    }

    /// Runs `call` in a place of its own, for which it waits as [`acquire`](Self::acquire) does.
    ///
    /// # Errors
    ///
    /// The error of `call`, or the [`Rejected`] of [`acquire`](Self::acquire) made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped at any point, it gives back the place, or the one in the queue.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected>,
    {
        let permit = match self.0.shared.enter() {
            Some(permit) => permit,
            None => self.acquire().await?,
        };
        let result = call().await;
        drop(permit);
        result
    }

    /// A Tower layer around this bulkhead; every layer and service made from it shares the places.
    #[must_use]
    pub fn layer(&self) -> BulkheadLayer {
        BulkheadLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.shared.config()
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let shared = self.0.shared;
        let (running, limit) = shared.read();
        let (queued, timed_out) = shared.queued();
        Snapshot {
            name: Arc::clone(&self.0.name),
            limit,
            running,
            queued,
            rejected: shared.rejected(),
            timed_out,
        }
    }

    /// Lets `limit` calls run at once from now on. More places go to those that wait; when there are
    /// fewer than calls running, none is let in until enough of them have ended.
    ///
    /// # Errors
    ///
    /// When `limit` is out of range; nothing is changed then.
    pub fn resize(&self, limit: u32) -> Result<(), ConfigError> {
        let checked = Config {
            limit,
            ..Config::default()
        };
        checked.check()?;
        self.change(|config| Config { limit, ..config });
        Ok(())
    }

    /// Takes on another policy from now on. Who runs or waits stays; the time to wait holds for those
    /// that come from now on.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.change(|_| config);
        Ok(())
    }

    fn change(&self, change: impl FnOnce(Config) -> Config) {
        let (from, to) = self.0.shared.reconfigure(change);
        if from != to {
            tracing::info!(name: "bowline.bulkhead.resized", bulkhead = &*self.0.name, from, to);
        }
    }

    #[inline]
    pub(super) fn shared(&self) -> &'static Shared {
        self.0.shared
    }

    /// Counts a call that finds no place, and says so.
    #[cold]
    pub(super) fn full(&self) -> Rejected {
        self.0.shared.count_rejected();
        tracing::debug!(name: "bowline.bulkhead.full", bulkhead = &*self.0.name);
        Rejected::bulkhead_full(Arc::clone(&self.0.name))
    }
}

/// Idle while nobody runs or waits in it, and nobody else holds a handle.
impl Evict for Bulkhead {
    fn is_idle(&self, _: Instant) -> bool {
        // Who waits has a handle, or borrows one.
        Arc::strong_count(&self.0) == 1 && self.0.shared.read().0 == 0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, limit) = self.0.shared.read();
        f.debug_struct("Bulkhead")
            .field("name", &self.0.name)
            .field("running", &running)
            .field("limit", &limit)
            .finish_non_exhaustive()
    }
}
