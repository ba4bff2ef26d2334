use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::future::ResponseFuture;
use super::shared::Shared;
use super::{AdaptiveLayer, Builder, Config, Permit, Snapshot};
use crate::classify::{AnyError, Classify};
use crate::config::ConfigError;
use crate::error::Rejected;
use crate::keyed::Evict;

/// Bounds how many calls run at once by what the service bears; see the [module docs](super).
///
/// Clones are the same limit.
#[derive(Clone)]
pub struct Adaptive(Arc<Owner>);

struct Owner {
    name: Arc<str>,
    shared: &'static Shared,
}

impl Adaptive {
    /// A limit in front of `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        let shared = Shared::claim(Arc::clone(&name), config);
        Self(Arc::new(Owner { name, shared }))
    }

    /// Lets one call through, or rejects it.
    ///
    /// Record the outcome in the permit; a permit that is dropped counts as a call that was given up.
    ///
    /// # Errors
    ///
    /// [`Rejected::LimitExceeded`] when as many calls are running as may now.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        match self.0.shared.enter() {
            Some(permit) => Ok(permit),
            None => Err(self.exceeded()),
        }
    }

    #[cold]
    fn exceeded(&self) -> Rejected {
        let Owner { name, shared } = &*self.0;
        shared.count_rejected();
        let (_, limit) = shared.read();
        tracing::debug!(name: "bowline.adaptive.exceeded", adaptive = &**name, limit);
        Rejected::limit_exceeded(Arc::clone(name), limit)
    }

    /// Runs `call` if the limit lets it, and judges its outcome by [`AnyError`].
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::LimitExceeded`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the call gives its place back, and says only how long it took at least.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected> + 'static,
    {
        self.call_with(&AnyError, call).await
    }

    /// Runs `call` if the limit lets it, and judges its outcome by `classifier`.
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::LimitExceeded`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the call gives its place back, and says only how long it took at least.
    pub async fn call_with<C, F, Fut, T, E>(&self, classifier: &C, call: F) -> Result<T, E>
    where
        C: Classify<T, E>,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected>,
    {
        let permit = self.try_acquire()?;
        let judge = |result: Result<&T, &E>| classifier.classify(result);
        ResponseFuture::called(call(), permit, judge).await
    }

    /// A Tower layer around this limit; every layer and service made from it shares the state.
    #[must_use]
    pub fn layer(&self) -> AdaptiveLayer {
        AdaptiveLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The policy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.shared.lock().config()
    }

    /// How many calls may run now.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.0.shared.read().1
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let Owner { name, shared } = &*self.0;
        let (running, limit) = shared.read();
        let machine = shared.lock();
        Snapshot {
            name: Arc::clone(name),
            limit,
            running,
            baseline: machine.baseline().time(),
            measuring: machine.baseline().lowered().is_some(),
            rejected: shared.rejected(),
            cuts: machine.cuts(),
        }
    }

    /// Takes on another policy from now on. The limit stays as far as the new bounds allow, and so does what
    /// was learned unless the algorithm is another one; the window begins anew. The policy that it has
    /// already changes nothing.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.shared.change(|machine| machine.reconfigure(config));
        Ok(())
    }
}

/// Idle while nobody runs, nobody else holds a handle, and it has learned nothing for
/// [`Config::FORGET`].
impl Evict for Adaptive {
    fn is_idle(&self, now: Instant) -> bool {
        let shared = self.0.shared;
        Arc::strong_count(&self.0) == 1 && shared.read().0 == 0 && shared.lock().is_stale(now)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, limit) = self.0.shared.read();
        f.debug_struct("Adaptive")
            .field("name", &self.0.name)
            .field("running", &running)
            .field("limit", &limit)
            .finish_non_exhaustive()
    }
}
