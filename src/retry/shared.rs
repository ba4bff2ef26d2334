use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use tokio::time::Instant;

use super::schedule::OwnSchedule;
use super::tally::Tally;
use super::{Config, Snapshot};
use crate::budget::RetryBudget;
use crate::clock::after;

/// What all clones, layers and calls of a retry share.
///
/// A call holds a [`Pass`] to it, which is two words that are copied: calls of several threads have no
/// count of references to fight for, and none has to take the policy along. The price is that a place,
/// once made, is never freed, only used again: for another retry, when all handles of the one before are
/// gone and so much time has passed that its calls have ended by their deadline.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shared {
    generation: u64,
    /// As the policy has it: all that a call which succeeds at once asks for.
    attempts: AtomicU32,
    config: ArcSwap<Config>,
    pub(super) budget: Option<RetryBudget>,
    pub(super) schedule: Option<OwnSchedule>,
    tally: Tally,
}

/// Keeps a place for as long as it lives.
#[repr(align(128))]
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    pub(super) pass: Pass,
    /// Whether there may be calls that outlive it.
    is_layered: AtomicBool,
}

/// A way to what is shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    place: &'static Place,
    generation: u64,
}

#[derive(Debug)]
struct Place(ArcSwapOption<Shared>);

/// The places whose owner is gone, by the time from which on they may be used again.
static FREE: Mutex<BTreeMap<(Instant, u64), &'static Place>> = Mutex::new(BTreeMap::new());
/// One for each retry that was ever made.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);
/// No place is kept longer: that is for calls with deadlines that mean none.
const KEPT_MAX: Duration = Duration::from_secs(60 * 60);

impl Owner {
    pub(super) fn new(
        config: Config,
        budget: Option<RetryBudget>,
        schedule: Option<OwnSchedule>,
    ) -> Self {
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared {
            generation,
            attempts: AtomicU32::new(config.attempts),
            config: ArcSwap::from_pointee(config),
            budget,
            schedule,
            tally: Tally::default(),
        });
        let place = vacant().unwrap_or_else(|| Box::leak(Box::new(Place(ArcSwapOption::empty()))));
        place.0.store(Some(Arc::clone(&shared)));
        Self {
            shared,
            pass: Pass { place, generation },
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
        let now = Instant::now();
        let free = match *self.is_layered.get_mut() {
            true => after(now, self.shared.config().deadline.min(KEPT_MAX)),
            false => {
                self.pass.place.0.store(None);
                now
            }
        };
        let mut places = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert((free, self.pass.generation), self.pass.place);
    }
}

fn vacant() -> Option<&'static Place> {
    let mut places = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = places.first_entry()?;
    let (free, _) = *place.key();
    (free <= Instant::now()).then(|| place.remove())
}

impl Pass {
    /// What is shared; `None` once its place is another's: the call has outlived all handles by more than
    /// its deadline.
    pub(super) fn shared(self) -> Option<Held> {
        let held = Held(self.place.0.load());
        let same = held.get()?.generation == self.generation;
        same.then_some(held)
    }
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
        self.attempts.store(config.attempts, Ordering::Relaxed);
        self.config.store(Arc::new(config));
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.tally.snapshot()
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }
}
