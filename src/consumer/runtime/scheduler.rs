use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use tokio::time::Instant;

use super::lane::{Handling, LaneId};
use super::offsets::Number;
use crate::backoff::Delays;
use crate::broker::Delivery;
use crate::consumer::Order;

/// Which records may run now, and which wait for their key, for their time, or for room.
///
/// A plain value: it is told what came, what has ended and what time it is. At most one record of a key
/// is on its way, from when it may run until it is done, its repetitions included; the later ones wait
/// in order behind it.
#[derive(Debug)]
pub(super) struct Scheduler {
    order: Order,
    hasher: RandomState,
    limit: usize,
    running: usize,
    /// The keys that are on their way, and what waits behind each.
    keys: HashMap<Key, VecDeque<Job>>,
    ready: VecDeque<Job>,
    held: BinaryHeap<Reverse<Held>>,
    turn: u64,
}

/// One record on its way through the handler.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) lane: LaneId,
    pub(super) handling: Arc<Handling>,
    pub(super) number: Number,
    pub(super) delivery: Delivery,
    /// How it is tried again, once it has failed.
    pub(super) retry: Option<Box<Retry>>,
    /// Not before this time.
    due: Option<Instant>,
    key: Option<Key>,
}

#[derive(Debug)]
pub(super) struct Retry {
    pub(super) delays: Delays,
    pub(super) failures: u32,
}

/// What the order is kept by. Keys that share a hash wait for each other, which is no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(LaneId, u64);

#[derive(Debug)]
struct Held {
    until: Instant,
    /// Those with the same time go on in the order in which they failed.
    turn: u64,
    job: Job,
}

impl Scheduler {
    /// Runs at most `limit` at once.
    pub(super) fn new(order: Order, limit: usize) -> Self {
        Self {
            order,
            hasher: RandomState::new(),
            limit,
            running: 0,
            keys: HashMap::new(),
            ready: VecDeque::new(),
            held: BinaryHeap::new(),
            turn: 0,
        }
    }

    /// A record came, which is not to be handled before `due`.
    pub(super) fn push(
        &mut self,
        (lane, handling): (LaneId, Arc<Handling>),
        number: Number,
        delivery: Delivery,
        due: Option<Instant>,
    ) {
        let key = match self.order {
            Order::None => None,
            Order::Partition => Some(Key(lane, 0)),
            Order::Key => delivery
                .record()
                .key
                .as_ref()
                .map(|key| Key(lane, self.hash(key))),
        };
        let job = Job {
            lane,
            handling,
            number,
            delivery,
            retry: None,
            due,
            key,
        };
        match key.map(|key| self.keys.entry(key)) {
            Some(Entry::Occupied(mut behind)) => behind.get_mut().push_back(job),
            Some(Entry::Vacant(free)) => {
                free.insert(VecDeque::new());
                self.admit(job);
            }
            None => self.admit(job),
        }
    }

    /// What runs next, if there is room. From now on it runs.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.startable() == 0 {
            return None;
        }
        let job = self.ready.pop_front()?;
        self.running += 1;
        job.handling.taken();
        Some(job)
    }

    /// How many could run that do not.
    pub(super) fn startable(&self) -> usize {
        self.ready
            .len()
            .min(self.limit.saturating_sub(self.running))
    }

    /// Lets go on what has waited until `now`.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(first) = self.held.peek_mut() {
            if first.0.until > now {
                return;
            }
            let Reverse(held) = PeekMut::pop(first);
            self.ready.push_back(held.job);
        }
    }

    /// When something that waits may go on.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.peek().map(|first| first.0.until)
    }

    /// A job runs no more, and has freed its room. Its key waits.
    pub(super) fn ended(&mut self, job: &Job) {
        self.running = self.running.saturating_sub(1);
        job.handling.ended();
    }

    /// A job that runs no more is done, or is nobody's business any more.
    pub(super) fn settled(&mut self, job: &Job) {
        self.free(job.key);
    }

    /// Forgets what has not begun of `lane`; what runs is still to end.
    pub(super) fn forget(&mut self, lane: LaneId) {
        let mut freed = Vec::new();
        for (key, behind) in &mut self.keys {
            if key.0 == lane {
                behind.clear();
            }
        }
        let mut keep = |job: &Job| {
            let keep = job.lane != lane;
            if !keep {
                freed.extend(job.key);
            }
            keep
        };
        self.ready.retain(|job| keep(job));
        self.held.retain(|held| keep(&held.0.job));
        for key in freed {
            self.keys.remove(&key);
        }
    }

    /// Lets a job go on that waits for no other, at its time.
    fn admit(&mut self, job: Job) {
        match job.due {
            Some(due) => self.hold(job, due),
            None => self.ready.push_back(job),
        }
    }

    /// Holds a job back until `until`, and its key with it.
    pub(super) fn hold(&mut self, job: Job, until: Instant) {
        self.turn += 1;
        self.held.push(Reverse(Held {
            until,
            turn: self.turn,
            job,
        }));
    }

    /// Lets the next record of `key` go on.
    fn free(&mut self, key: Option<Key>) {
        let Some(Entry::Occupied(mut behind)) = key.map(|key| self.keys.entry(key)) else {
            return;
        };
        match behind.get_mut().pop_front() {
            Some(next) => self.admit(next),
            None => {
                behind.remove();
            }
        }
    }

    fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.until, self.turn).cmp(&(other.until, other.turn))
    }
}
