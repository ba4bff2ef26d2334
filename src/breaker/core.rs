use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::future::ResponseFuture;
use super::state::{Machine, Ticket, Transition};
use super::{BreakerLayer, Builder, Config, Permit, Snapshot, State};
use crate::classify::{AnyError, Classify, Outcome};
use crate::error::Rejected;

/// Rejects calls to a service that fails too often; see the [module docs](super).
///
/// Clones are the same breaker.
#[derive(Clone)]
pub struct Breaker(Arc<Core>);

struct Core {
    name: Arc<str>,
    /// What the fast path needs to know, kept by the slow path under the lock: the generation
    /// shifted left by two, and two flags.
    word: AtomicU64,
    machine: Mutex<Machine>,
}

/// The breaker is closed: a call may pass without the lock.
const CLOSED: u64 = 1;
/// It is closed and one more success would change nothing: it need not be recorded.
const SATURATED: u64 = 2;

impl Breaker {
    /// A breaker for the service `name`, with the defaults of the [module docs](super).
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        let machine = Machine::new(config);
        Self(Arc::new(Core {
            name,
            word: AtomicU64::new(word(&machine)),
            machine: Mutex::new(machine),
        }))
    }

    /// Lets one call through, or rejects it.
    ///
    /// Record the outcome in the permit; a permit that is dropped counts nowhere.
    ///
    /// # Errors
    ///
    /// [`Rejected::CircuitOpen`] when the breaker is open, or half-open with all probes taken.
    pub fn try_acquire(&self) -> Result<Permit, Rejected> {
        let word = self.0.word.load(Ordering::Acquire);
        if word & CLOSED != 0 {
            return Ok(Permit::new(self.clone(), Ticket::closed(word >> 2)));
        }
        let (admitted, transition) = {
            let mut machine = self.lock();
            let admitted = machine.admit(now());
            self.publish(&machine);
            admitted
        };
        self.report(transition);
        match admitted {
            Ok(ticket) => Ok(Permit::new(self.clone(), ticket)),
            Err(retry_after) => Err(Rejected::circuit_open(
                Arc::clone(&self.0.name),
                retry_after,
            )),
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
    /// Dropped before its end, the call counts nowhere.
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
    /// Dropped before its end, the call counts nowhere.
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

    /// The state now. An open breaker whose wait is over is half-open, also without any call.
    #[must_use]
    pub fn state(&self) -> State {
        if self.0.word.load(Ordering::Acquire) & CLOSED != 0 {
            return State::Closed;
        }
        self.lock().state(now())
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = now();
        let machine = self.lock();
        let (calls, failures, consecutive_failures) = machine.window();
        Snapshot {
            name: Arc::clone(&self.0.name),
            state: machine.state(now),
            calls,
            failures,
            consecutive_failures,
            reason: machine.reason,
            retry_after: machine.retry_after(now),
            opened: machine.opened,
            rejected: machine.rejected,
        }
    }

    /// Opens it until [`reset`](Self::reset): no time makes it half-open.
    pub fn force_open(&self) {
        self.change(Machine::force_open);
    }

    /// Closes it and forgets what it has seen.
    pub fn reset(&self) {
        self.change(Machine::reset);
    }

    /// Takes in how the call with `ticket` ended.
    pub(super) fn record(&self, ticket: Ticket, outcome: Option<Outcome>) {
        if outcome == Some(Outcome::Success) {
            let word = self.0.word.load(Ordering::Acquire);
            if word & SATURATED != 0 && word >> 2 == ticket.generation {
                return;
            }
        }
        let failed = match outcome {
            Some(Outcome::Success) => Some(false),
            Some(Outcome::Failure(_)) => Some(true),
            // It holds no place that could be given back.
            Some(Outcome::Ignored) | None if !ticket.is_probe() => return,
            Some(Outcome::Ignored) | None => None,
        };
        self.change(|machine| machine.record(ticket, failed, now()));
    }

    fn change(&self, change: impl FnOnce(&mut Machine) -> Option<Transition>) {
        let transition = {
            let mut machine = self.lock();
            let transition = change(&mut machine);
            self.publish(&machine);
            transition
        };
        self.report(transition);
    }

    fn publish(&self, machine: &Machine) {
        self.0.word.store(word(machine), Ordering::Release);
    }

    /// Tells of a change of state, outside the lock.
    fn report(&self, transition: Option<Transition>) {
        let Some(Transition { from, to, reason }) = transition else {
            return;
        };
        tracing::info!(
            name: "bowline.breaker.transition",
            breaker = %self.0.name,
            from = from.as_str(),
            to = to.as_str(),
            reason = reason.map(super::Reason::as_str),
        );
    }

    /// The machine is whole after every change, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0
            .machine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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

fn word(machine: &Machine) -> u64 {
    let closed = if machine.is_closed() { CLOSED } else { 0 };
    let saturated = if machine.is_saturated() { SATURATED } else { 0 };
    machine.generation() << 2 | closed | saturated
}

fn now() -> Instant {
    Instant::now()
}
