use std::collections::{BTreeMap, BTreeSet};
use std::task::Waker;

use tokio::time::Instant;

use super::{Config, Order};
use crate::place::{Occupancy, Word};

/// Those that wait, in the order in which they came. Used under a lock; nobody's code runs here, so
/// wakers are handed out, to be woken or dropped outside of it.
#[derive(Debug)]
pub(super) struct Queue {
    config: Config,
    waiting: BTreeMap<u64, Waiter>,
    /// Those who have been given a place and have not yet seen it.
    granted: BTreeSet<u64>,
    next: u64,
    timed_out: u64,
}

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    until: Instant,
}

/// What becomes of a call that finds no free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// There is a place after all.
    Entered,
    /// The queue is full.
    Full,
    /// It waits under this number, until then.
    Waits(u64, Instant),
}

/// What has become of a call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It has a place.
    Granted,
    /// Its time is over.
    InVain,
    /// It still waits.
    Still,
}

impl Queue {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            waiting: BTreeMap::new(),
            granted: BTreeSet::new(),
            next: 0,
            timed_out: 0,
        }
    }

    pub(super) fn config(&self) -> Config {
        self.config
    }

    pub(super) fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Gives free places to those that wait, and skips those whose time is over. Who has to be woken.
    pub(super) fn hand_out(
        &mut self,
        occupancy: &Occupancy<impl Word>,
        now: Instant,
    ) -> Vec<Waker> {
        let mut wake = self.skip_oldest(now);
        loop {
            let Some((id, late)) = self.first(now) else {
                occupancy.set_queued(false);
                return wake;
            };
            if !late && !occupancy.enter_first() {
                return wake;
            }
            if late {
                self.timed_out += 1;
            } else {
                self.granted.insert(id);
            }
            wake.extend(self.waiting.remove(&id).map(|waiter| waiter.waker));
        }
    }

    /// Drops the oldest as long as their time is over: places in the queue are for the living.
    fn skip_oldest(&mut self, now: Instant) -> Vec<Waker> {
        let mut wake = Vec::new();
        while let Some(oldest) = self.waiting.first_entry()
            && oldest.get().until <= now
        {
            self.timed_out += 1;
            wake.push(oldest.remove().waker);
        }
        wake
    }

    /// Whose turn it is, and whether its time is over.
    fn first(&self, now: Instant) -> Option<(u64, bool)> {
        let crowded = self.waiting.len() > self.config.queue as usize / 2;
        let newest = self.config.order == Order::AdaptiveLifo && crowded;
        let (id, waiter) = if newest {
            self.waiting.last_key_value()?
        } else {
            self.waiting.first_key_value()?
        };
        Some((*id, waiter.until <= now))
    }

    /// Lets a call wait, if it has to and may. Whom to wake, too.
    pub(super) fn join(
        &mut self,
        occupancy: &Occupancy<impl Word>,
        waker: &Waker,
        now: Instant,
    ) -> (Joined, Vec<Waker>) {
        let wake = self.hand_out(occupancy, now);
        if self.waiting.is_empty() {
            // From here on whoever leaves comes to the queue: no place can come free unseen.
            occupancy.set_queued(true);
            let entered = occupancy.enter_first();
            if entered || self.config.queue == 0 {
                occupancy.set_queued(false);
                let joined = if entered {
                    Joined::Entered
                } else {
                    Joined::Full
                };
                return (joined, wake);
            }
        }
        if self.waiting.len() >= self.config.queue as usize {
            return (Joined::Full, wake);
        }
        let (id, until) = (self.next, self.config.wait_until(now));
        self.next += 1;
        let waker = waker.clone();
        self.waiting.insert(id, Waiter { waker, until });
        (Joined::Waits(id, until), wake)
    }

    /// What has become of `id`, and a waker to be dropped; from now on `waker` is the one to wake.
    pub(super) fn look(&mut self, id: u64, waker: &Waker) -> (Waited, Option<Waker>) {
        match self.waiting.get_mut(&id) {
            Some(waiter) if waiter.waker.will_wake(waker) => (Waited::Still, None),
            Some(waiter) => {
                let old = std::mem::replace(&mut waiter.waker, waker.clone());
                (Waited::Still, Some(old))
            }
            None => (self.ended(id), None),
        }
    }

    /// Ends the waiting of `id`, whose time is over unless it holds a place, and a waker to be dropped.
    pub(super) fn time_out(&mut self, id: u64) -> (Waited, Option<Waker>) {
        match self.waiting.remove(&id) {
            Some(waiter) => {
                self.timed_out += 1;
                (Waited::InVain, Some(waiter.waker))
            }
            None => (self.ended(id), None),
        }
    }

    /// Ends the waiting of `id`, which nobody wants any more, and a waker to be dropped.
    pub(super) fn give_up(&mut self, id: u64) -> (Waited, Option<Waker>) {
        match self.waiting.remove(&id) {
            Some(waiter) => (Waited::InVain, Some(waiter.waker)),
            None => (self.ended(id), None),
        }
    }

    fn ended(&mut self, id: u64) -> Waited {
        if self.granted.remove(&id) {
            Waited::Granted
        } else {
            Waited::InVain
        }
    }

    /// How many wait whose time is not over.
    pub(super) fn queued(&self, now: Instant) -> usize {
        let waiting = self.waiting.values();
        waiting.filter(|waiter| now < waiter.until).count()
    }

    pub(super) fn timed_out(&self) -> u64 {
        self.timed_out
    }
}
