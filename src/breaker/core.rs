use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::ended::Refusal;
use super::future::ResponseFuture;
use super::opening::OpenFor;
use super::phase::Phase;
use super::shared::Shared;
use super::state::Machine;
use super::turned_away::TurnedAway;
use super::{BreakerLayer, Builder, Config, Permit, Snapshot, State, Transitions};
use crate::classify::{AnyError, Classify};
use crate::config::ConfigError;
use crate::error::Rejected;
use crate::keyed::{Evict, Overflow};

/// Rejects calls to a service that fails too often; see the [module docs](super).
///
/// Clones are the same breaker.
#[derive(Clone)]
pub struct Breaker(Arc<Owner>);

struct Owner {
    name: Arc<str>,
    shared: &'static Shared,
    turned_away: TurnedAway,
}

impl Breaker {
    /// A breaker for the service `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config, open_for: Option<OpenFor>) -> Self {
        let shared = Shared::claim(Arc::clone(&name), config, open_for);
        Self(Arc::new(Owner {
            name,
            shared,
            turned_away: TurnedAway::default(),
        }))
    }

    /// Lets one call through, or rejects it.
    ///
    /// Record the outcome in the permit; a permit that is dropped counts as a cancelled call.
    ///
    /// # Errors
    ///
    /// [`Rejected::CircuitOpen`] when the breaker is open, half-open with all probes taken, or ramping
    /// up and this call is not among those that pass.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        self.pass()
            .map_or_else(|| self.admit().map_err(Rejected::from), Ok)
    }

    /// Lets a call through if that takes a look only.
    #[inline]
    pub(super) fn pass(&self) -> Option<Permit> {
        let shared = self.0.shared;
        shared.pass().map(|ticket| Permit::new(shared, ticket))
    }

    #[cold]
    pub(super) fn admit(&self) -> Result<Permit, Refusal> {
        let Owner {
            name,
            shared,
            turned_away,
        } = &*self.0;
        if let Some(refused) = shared.reject() {
            let name = turned_away.count(name);
            return Err(Refusal { name, refused });
        }
        match shared.admit(name) {
            Ok(ticket) => Ok(Permit::new(shared, ticket)),
            Err(refused) => Err(Refusal {
                name: Arc::clone(name),
                refused,
            }),
        }
    }

    /// Runs `call` if the breaker lets it, and records its outcome by [`AnyError`].
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::CircuitOpen`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the call counts as [`Config::cancelled`] says.
    pub async fn call<F, Fut, T, E>(&self, call: F) -> Result<T, E>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Rejected> + 'static,
    {
        self.call_with(&AnyError, call).await
    }

    /// Runs `call` if the breaker lets it, and records its outcome by `classifier`.
    ///
    /// # Errors
    ///
    /// The error of `call`, or [`Rejected::CircuitOpen`] made into it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, the call counts as [`Config::cancelled`] says.
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

    /// A Tower layer around this breaker; every layer and service made from it shares the state.
    #[must_use]
    pub fn layer(&self) -> BreakerLayer {
        BreakerLayer::new(self.clone())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The policy as it stands.
    #[must_use]
    pub fn config(&self) -> Config {
        self.0.shared.look(|machine| machine.config().clone())
    }

    /// The state now. An open breaker whose wait is over is half-open, also without any call.
    #[must_use]
    pub fn state(&self) -> State {
        let now = Instant::now();
        self.0.shared.look(|machine| machine.state(now))
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut snapshot = self.0.shared.look(|machine| machine.snapshot(now));
        snapshot.rejected += self.0.turned_away.calls();
        snapshot
    }

    /// The changes of state from now on.
    #[must_use]
    pub fn subscribe(&self) -> Transitions {
        Transitions::new(self.0.shared.look(Machine::subscribe))
    }

    /// Opens it until [`reset`](Self::reset): no time makes it half-open.
    pub fn force_open(&self) {
        self.force(Phase::ForcedOpen);
    }

    /// Lets all calls pass and records nothing, until [`reset`](Self::reset).
    pub fn disable(&self) {
        self.force(Phase::Disabled);
    }

    /// Lets all calls pass and records them, but never opens, until [`reset`](Self::reset): to see what
    /// a policy would see.
    pub fn metrics_only(&self) {
        self.force(Phase::MetricsOnly);
    }

    /// Closes it and forgets what it has seen.
    pub fn reset(&self) {
        self.0.shared.change(Machine::reset);
    }

    /// Takes on another policy from now on. The state stays; what the window holds stays unless the
    /// window itself changes.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        self.0.shared.with(|machine| machine.reconfigure(config));
        Ok(())
    }

    fn force(&self, phase: Phase) {
        self.0.shared.change(|machine| machine.force(phase));
    }
}

/// Idle while it is closed, nothing in its window speaks for opening, and nobody else holds a handle or
/// is subscribed. A call on its way that holds only its permit does not keep it.
impl Evict for Breaker {
    /// One that is shared would reject calls to a service for the failures of another.
    const OVERFLOW: Overflow = Overflow::Fresh;

    fn is_idle(&self, now: Instant) -> bool {
        Arc::strong_count(&self.0) == 1 && self.0.shared.look(|machine| machine.is_idle(now))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.vacate();
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.0.name)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
