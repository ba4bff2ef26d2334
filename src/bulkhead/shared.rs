use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use super::meters::Meters;
use super::queue::{Joined, Queue, Waited};
use super::{Config, Permit};
use crate::place::{Left, Occupancy, Places};
use crate::telemetry::Held;

/// What all clones, layers and calls of a bulkhead share.
///
/// A call that finds a free place, and leaves while nobody waits, changes one word twice and touches
/// nothing else.
#[derive(Debug)]
pub(super) struct Shared {
    occupancy: Occupancy,
    /// The bound of the queue, for those who need not look into it when it is 0.
    bound: AtomicU32,
    /// Calls that were refused at once.
    rejected: AtomicU64,
    queue: Mutex<Queue>,
    meters: Held<Meters>,
}

static PLACES: Places<Shared> = Places::new();

impl Shared {
    /// A place with an empty bulkhead in it.
    pub(super) fn claim(name: &str, config: Config) -> &'static Self {
        let shared = PLACES.claim(|| Self {
            occupancy: Occupancy::new(0),
            bound: AtomicU32::new(0),
            rejected: AtomicU64::new(0),
            queue: Mutex::new(Queue::new(config)),
            meters: Held::empty(),
        });
        shared.meters.put(|| Meters::new(name));
        shared.with(|queue| *queue = Queue::new(config));
        shared.bound.store(config.queue, Ordering::Relaxed);
        shared.rejected.store(0, Ordering::Relaxed);
        shared.occupancy.reset(config.limit);
        shared
    }

    /// Gives the place back, now or with the last call that is running. Nobody waits: who waits has
    /// a handle.
    pub(super) fn abandon(&'static self) {
        if self.occupancy.abandon() {
            PLACES.give_back(self);
        }
    }

    /// Takes a free place that nobody waits for.
    #[inline]
    pub(super) fn enter(&'static self) -> Option<Permit> {
        self.occupancy.enter().then(|| Permit::new(self))
    }

    /// The same for a call that found none: a place that comes free is kept for those that wait, but
    /// they may all be too late.
    pub(super) fn enter_late(&'static self) -> Option<Permit> {
        let (running, limit) = self.occupancy.read();
        if running >= limit {
            return None;
        }
        self.hand_out();
        self.enter()
    }

    #[inline]
    pub(super) fn leave(&'static self) {
        let left = self.occupancy.leave();
        if left != Left::Quietly {
            self.left(left);
        }
    }

    #[cold]
    fn left(&'static self, left: Left) {
        match left {
            Left::Quietly => {}
            Left::Awaited => self.hand_out(),
            Left::Vacant => PLACES.give_back(self),
        }
    }

    fn hand_out(&self) {
        let now = Instant::now();
        wake(self.with(|queue| queue.hand_out(&self.occupancy, now)));
    }

    pub(super) fn may_wait(&self) -> bool {
        self.bound.load(Ordering::Relaxed) > 0
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.meters.with(Meters::full);
    }

    pub(super) fn join(&self, waker: &Waker, now: Instant) -> Joined {
        let (joined, others) = self.with(|queue| queue.join(&self.occupancy, waker, now));
        wake(others);
        joined
    }

    pub(super) fn look(&self, id: u64, waker: &Waker) -> Waited {
        let (waited, _old) = self.with(|queue| queue.look(id, waker));
        waited
    }

    pub(super) fn time_out(&self, id: u64) -> Waited {
        let (waited, _old) = self.with(|queue| queue.time_out(id));
        self.hand_out();
        waited
    }

    pub(super) fn give_up(&'static self, id: u64) {
        let (waited, _old) = self.with(|queue| queue.give_up(id));
        match waited {
            Waited::Granted => self.leave(),
            Waited::InVain | Waited::Still => self.hand_out(),
        }
    }

    /// Takes on another policy, made from the one before. The limits before and after.
    pub(super) fn reconfigure(&self, change: impl FnOnce(Config) -> Config) -> (u32, u32) {
        let now = Instant::now();
        let (limits, others) = self.with(|queue| {
            let config = change(queue.config());
            queue.set_config(config);
            self.bound.store(config.queue, Ordering::Relaxed);
            let before = self.occupancy.set_limit(config.limit);
            let others = queue.hand_out(&self.occupancy, now);
            ((before, config.limit), others)
        });
        wake(others);
        limits
    }

    pub(super) fn config(&self) -> Config {
        self.with(|queue| queue.config())
    }

    /// Shows what has happened; without the feature it does nothing.
    #[inline]
    pub(super) fn meter(&self, using: impl FnOnce(&Meters)) {
        self.meters.with(using);
    }

    pub(super) fn read(&self) -> (u32, u32) {
        self.occupancy.read()
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many wait, and how many have waited in vain.
    pub(super) fn queued(&self) -> (usize, u64) {
        let now = Instant::now();
        self.with(|queue| (queue.queued(now), queue.timed_out()))
    }

    /// Uses the queue under the lock. It is whole after every change, so a panic elsewhere leaves it
    /// usable.
    fn with<T>(&self, using: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        using(&mut queue)
    }
}

fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}
