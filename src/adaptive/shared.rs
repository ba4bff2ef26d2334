use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use tokio::time::Instant;

use super::meters::Meters;
use super::state::{Call, Ended, Machine};
use super::{Config, Permit};
use crate::place::{Left, Occupancy, Places};
use crate::telemetry::Held;

/// What all clones, layers and calls of a limit share.
#[derive(Debug)]
pub(super) struct Shared {
    occupancy: Occupancy,
    rejected: AtomicU64,
    machine: Mutex<Machine>,
    meters: Held<Meters>,
}

static PLACES: Places<Shared> = Places::new();

impl Shared {
    /// A place with a new limit in it.
    pub(super) fn claim(name: Arc<str>, config: Config) -> &'static Self {
        let shared = PLACES.claim(|| Self {
            occupancy: Occupancy::new(0),
            rejected: AtomicU64::new(0),
            machine: Mutex::new(Machine::new(Arc::clone(&name), config)),
            meters: Held::empty(),
        });
        shared.meters.put(|| Meters::new(&name));
        shared.meters.with(|meters| meters.moved(0, config.initial));
        shared.occupancy.reset(config.initial);
        shared.rejected.store(0, Ordering::Relaxed);
        *shared.lock() = Machine::new(name, config);
        shared
    }

    /// Gives the place back, now or with the last call that is running.
    pub(super) fn abandon(&'static self) {
        // Under the lock: whoever changes the limit after this shows it to nobody.
        let machine = self.lock();
        self.meters.with(|meters| meters.moved(machine.limit(), 0));
        let vacant = self.occupancy.abandon();
        drop(machine);
        if vacant {
            PLACES.give_back(self);
        }
    }

    #[inline]
    pub(super) fn enter(&'static self) -> Option<Permit> {
        if !self.occupancy.enter() {
            return None;
        }
        self.meters.with(Meters::entered);
        Some(Permit::new(self, Instant::now()))
    }

    /// Ends a call, and learns from it before its place is free.
    pub(super) fn leave(&'static self, began: Instant, ended: Option<Ended>) {
        if let Some(ended) = ended {
            let (running, _) = self.occupancy.read();
            let now = Instant::now();
            let call = Call {
                began,
                running,
                ended,
            };
            self.learn(call, now);
        }
        self.meters.with(|meters| meters.left(ended));
        if self.occupancy.leave() == Left::Vacant {
            PLACES.give_back(self);
        }
    }

    fn learn(&self, call: Call, now: Instant) {
        let learn = |machine: &mut Machine| machine.learn(call, now);
        if call.ended == Ended::Dropped {
            return self.change(learn);
        }
        // A window is a sample of the calls: one more is not worth waiting for another thread.
        match self.machine.try_lock() {
            Ok(machine) => self.tell(machine, learn),
            Err(TryLockError::Poisoned(machine)) => self.tell(machine.into_inner(), learn),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// Changes the machine, and tells of a change of the limit.
    pub(super) fn change(&self, change: impl FnOnce(&mut Machine)) {
        self.tell(self.lock(), change);
    }

    fn tell(&self, mut machine: MutexGuard<'_, Machine>, change: impl FnOnce(&mut Machine)) {
        let from = machine.limit();
        change(&mut machine);
        let to = machine.limit();
        if from == to {
            return;
        }
        self.occupancy.set_limit(to);
        if !self.occupancy.is_abandoned() {
            self.meters.with(|meters| meters.moved(from, to));
        }
        let name = machine.name();
        drop(machine);
        tracing::debug!(name: "bowline.adaptive.limit", adaptive = &*name, from, to);
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
        self.meters.with(Meters::rejected);
    }

    pub(super) fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// How many calls are running, and how many may.
    pub(super) fn read(&self) -> (u32, u32) {
        self.occupancy.read()
    }

    /// The machine is whole after every change, so a panic elsewhere leaves it usable.
    pub(super) fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
