use std::fmt;
use std::future::Future;
use std::sync::Arc;

use super::future::ResponseFuture;
use super::shared::Shared;
use super::{Builder, ChaosLayer, Config, Faults, Injection, NoFault, Snapshot};
use crate::config::{ConfigError, Problems};

/// Breaks calls on purpose, once it is switched on; see the [module docs](super).
///
/// Clones share the switch, the trace and the counters.
#[derive(Clone)]
pub struct Chaos<F = NoFault> {
    shared: Arc<Shared>,
    faults: F,
}

impl Chaos {
    /// A chaos for the service `name`, which does nothing by default.
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }
}

impl<F> Chaos<F> {
    pub(super) fn new(shared: Shared, faults: F) -> Self {
        let shared = Arc::new(shared);
        Self { shared, faults }
    }

    /// Switches it on: **from now on calls break**.
    pub fn enable(&self) {
        self.shared.switch(true);
    }

    /// Switches it off. Calls that already wait go on waiting.
    pub fn disable(&self) {
        self.shared.switch(false);
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.shared.is_enabled()
    }

    /// Draws what is to be done to the next call, which the caller has to do.
    pub fn decide(&self) -> Injection {
        self.shared.decide()
    }

    /// Runs `call`, or breaks it.
    ///
    /// # Errors
    ///
    /// The error of `call`, or the one that was injected.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the call. What was drawn for it stays drawn.
    pub async fn call<G, Fut, T, E>(&self, call: G) -> Result<T, E>
    where
        F: Faults<E>,
        G: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.inject(true, call).await
    }

    /// Makes a call, or breaks it if it was `picked`.
    pub(super) fn inject<C, E>(
        &self,
        picked: bool,
        call: impl FnOnce() -> C,
    ) -> ResponseFuture<C, E>
    where
        F: Faults<E>,
    {
        let Injection { latency, error } = match picked {
            true => self.decide(),
            false => Injection::default(),
        };
        match error.then(|| self.faults.fault()).flatten() {
            Some(error) => ResponseFuture::failing(error, latency),
            None => ResponseFuture::called(call(), latency),
        }
    }

    /// A Tower layer around this chaos; every layer and service made from it shares the state.
    #[must_use]
    pub fn layer(&self) -> ChaosLayer<F>
    where
        F: Clone,
    {
        ChaosLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        self.shared.name()
    }

    /// What it does once it is switched on.
    #[must_use]
    pub fn config(&self) -> Config {
        self.shared.config()
    }

    /// Takes on another policy from now on. It stays switched on or off as it is; the trace goes on where it
    /// is, but begins anew with another seed.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once, a rate of errors without an error to give among them; nothing is
    /// changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        config.check_with(self.shared.has_faults, &mut problems);
        problems.into_result()?;
        self.shared.reconfigure(config);
        Ok(())
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }
}

impl<F> fmt::Debug for Chaos<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chaos")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
