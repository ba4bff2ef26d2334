use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use super::exhausted::Exhausted;
use super::meters::Meters;
use super::place::{self, Place};
use super::schedule::OwnSchedule;
use super::tally::Tally;
use super::{Config, Snapshot};
use crate::budget::RetryBudget;
use crate::classify::Outcome;

/// What all clones, layers and calls of a retry share.
///
/// A call holds a [`Pass`] to it, which is two words that are copied: calls of several threads have no
/// count of references to fight for, and none has to take the policy along. The price is that a place,
/// once made, is never freed, only used again: for another retry, when all handles of the one before are
/// gone and so much time has passed that its calls have ended by their deadline. Until then it keeps what
/// is here, so nothing of the user's is.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shared {
    generation: u64,
    pub(super) name: Arc<str>,
    /// As the policy has it: all that a call which succeeds at once asks for.
    attempts: AtomicU32,
    config: ArcSwap<Config>,
    /// The longest deadline that it has had. Its lock is held while the policy changes.
    longest: Mutex<Duration>,
    pub(super) budget: Option<RetryBudget>,
    tally: Tally,
    meters: Meters,
}

/// Keeps a place for as long as it lives.
#[repr(align(128))]
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) pass: Pass,
    /// Calls that need it take a handle along: what it has captured must not live for longer.
    pub(super) schedule: Option<OwnSchedule>,
    /// Whether there may be calls that outlive it.
    is_layered: AtomicBool,
}

/// A way to what is shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    place: &'static Place,
    generation: u64,
}

/// One for each retry that was ever made.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

impl Owner {
    pub(super) fn new(
        name: Arc<str>,
        config: Config,
        budget: Option<RetryBudget>,
        schedule: Option<OwnSchedule>,
    ) -> Self {
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let meters = Meters::new(&name);
        let shared = Arc::new(Shared {
            generation,
            name,
            attempts: AtomicU32::new(config.attempts),
            config: ArcSwap::from_pointee(config),
            longest: Mutex::new(config.deadline),
            budget,
            tally: Tally::default(),
            meters,
        });
        let place = place::take(Arc::clone(&shared));
        Self {
            shared,
            pass: Pass { place, generation },
            schedule,
            is_layered: AtomicBool::new(false),
        }
    }

    /// From now on there may be calls that outlive it.
    pub(super) fn layer(&self) {
        self.is_layered.store(true, Ordering::Relaxed);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let outlived = self.is_layered.get_mut();
        let wait = outlived.then(|| *self.shared.longest());
        place::give_back(self.pass.place, self.pass.generation, wait);
    }
}

impl Pass {
    /// What is shared; `None` once its place is another's: the call has outlived all handles by more than
    /// its deadline.
    pub(super) fn shared(self) -> Option<Held> {
        let held = Held(self.place.load());
        let same = held.get()?.generation == self.generation;
        same.then_some(held)
    }

    /// Counts a call whose first attempt has ended it.
    #[cfg(feature = "metrics")]
    #[inline]
    pub(super) fn ended(self, outcome: Outcome) {
        if let Some(shared) = self.shared().as_ref().and_then(Held::get) {
            shared.meters.ended(outcome);
        }
    }

    #[cfg(not(feature = "metrics"))]
    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    #[inline]
    pub(super) const fn ended(self, _: Outcome) {}
}

/// A look at what is shared, which keeps it alive without a count of references.
pub(super) struct Held(Guard<Option<Arc<Shared>>>);

impl Held {
    pub(super) fn get(&self) -> Option<&Shared> {
        self.0.as_deref()
    }
}

impl Shared {
    #[inline]
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    pub(super) fn config(&self) -> Config {
        **self.config.load()
    }

    pub(super) fn reconfigure(&self, config: Config) {
        let mut longest = self.longest();
        *longest = config.deadline.max(*longest);
        self.attempts.store(config.attempts, Ordering::Relaxed);
        self.config.store(Arc::new(config));
    }

    fn longest(&self) -> MutexGuard<'_, Duration> {
        self.longest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.tally.snapshot(&self.name)
    }

    /// Pays into the budget for a call.
    pub(super) fn pay_in(&self) {
        if let Some(budget) = &self.budget {
            budget.pay_in();
        }
    }

    /// Counts a call that ends with a result that is returned as it is.
    pub(super) fn ended(&self, outcome: Outcome) {
        self.meters.ended(outcome);
    }

    /// Counts and tells of a call that ends after `attempt`, though it could be tried again.
    pub(super) fn give_up(&self, attempt: u32, why: Exhausted) {
        self.tally.give_up(why);
        self.meters.exhausted(why);
        let (retry, reason) = (&*self.name, why.as_str());
        tracing::debug!(name: "bowline.retry.exhausted", retry, attempt, reason);
    }

    /// Counts and tells of `attempt`, which begins after `wait`.
    pub(super) fn retry(&self, attempt: u32, wait: Duration) {
        self.tally.retry(attempt == 2);
        self.meters.retry();
        tracing::debug!(name: "bowline.retry.attempt", retry = &*self.name, attempt, ?wait);
    }
}
