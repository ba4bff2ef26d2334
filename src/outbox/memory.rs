//! The outbox in memory: for tests, and for what need not survive the process.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::prepared::check_due;
use super::schedule::{Place, Schedule, Scheduled};
use super::{
    Crashes, Entry, EntryId, Halted, Lease, Parked, Position, Progress, Routing, Settled, Status,
    Store, Window,
};
use crate::broker::Record;
use crate::clock::{Clock, SystemClock, after};
use crate::error::{Error, Kind};
use crate::message::{Message, MessageId};

const BACKEND: &str = "memory";

/// An outbox in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    shared: Arc<Shared>,
    routing: Routing,
}

/// Messages that are enqueued together, or not at all: dropped without
/// [`commit`](Transaction::commit) they were never there.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    shared: Arc<Shared>,
    records: Vec<Record>,
    scheduled: Vec<(DateTime<Utc>, Scheduled)>,
    /// What was scheduled and is no more.
    taken: Vec<(Place, Scheduled)>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    committed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Which outbox it is, once somebody has asked.
    identity: Option<Arc<str>>,
    /// The newest row.
    last: i64,
    /// Up to which row all is settled.
    settled: i64,
    /// Under which lease it was.
    settled_epoch: u64,
    log: VecDeque<Entry>,
    aside: BTreeMap<EntryId, Aside>,
    scheduled: Schedule,
    owner: Option<(Arc<str>, Instant)>,
    epoch: u64,
    crashes: Crashes,
    halted: Option<Halted>,
}

/// A row that was set aside.
#[derive(Debug)]
struct Aside {
    entry: Entry,
    parked: Option<(String, DateTime<Utc>)>,
}

impl Memory {
    /// An empty outbox without a topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends every message to `topic`.
    #[must_use]
    pub fn with_topic(self, topic: impl Into<Arc<str>>) -> Self {
        self.with_routing(Routing::to(topic))
    }

    /// Decides topics by `routing`.
    #[must_use]
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Transaction {
        Transaction {
            shared: Arc::clone(&self.shared),
            records: Vec::new(),
            scheduled: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Adds `message` to `tx`.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`].
    pub fn enqueue(&self, tx: &mut Transaction, message: &Message) -> Result<(), Error> {
        let topic = self.routing.topic(BACKEND, message)?;
        tx.records.push(Record::from_message(topic, message)?);
        Ok(())
    }

    /// Adds `message` to `tx`, to be published at `at`: never earlier, and after what is due earlier.
    ///
    /// It takes its place in the order of its key when it is due, and holds up nobody until then.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue), and [`Kind::Invalid`] when the year of `at` has not four digits.
    pub fn enqueue_at(
        &self,
        tx: &mut Transaction,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        check_due(BACKEND, at)?;
        let topic = self.routing.topic(BACKEND, message)?;
        let record = Record::from_message(topic, message)?;
        let wait = (at - SystemClock.now()).to_std().unwrap_or_default();
        let due = after(Instant::now(), wait);
        let id = message.id().clone();
        tx.scheduled.push((at, Scheduled { id, record, due }));
        Ok(())
    }

    /// Takes the scheduled message `id` back, as a part of `tx`; `false` when it is none, or was due
    /// already.
    pub fn unschedule(&self, tx: &mut Transaction, id: &MessageId) -> bool {
        let before = tx.scheduled.len();
        tx.scheduled.retain(|(_, row)| row.id != *id);
        let taken = self.shared.lock().scheduled.take(id);
        let is_taken = !taken.is_empty() || tx.scheduled.len() < before;
        tx.taken.extend(taken);
        is_taken
    }

    /// Wakes a relay of this outbox. It is a hint, which a commit gives by itself.
    pub fn wake(&self) {
        self.shared.committed.notify_one();
    }
}

impl Transaction {
    /// Makes the messages visible to the relay, all at once.
    pub fn commit(mut self) {
        let mut state = self.shared.lock();
        state.write(std::mem::take(&mut self.records));
        for (at, row) in self.scheduled.drain(..) {
            state.scheduled.put(at, row);
        }
        drop(state);
        self.taken.clear();
        self.shared.committed.notify_one();
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        for (place, row) in self.taken.drain(..) {
            state.scheduled.put_back(place, row);
        }
    }
}

impl Shared {
    /// Every change under the lock is whole, so a panic elsewhere leaves it usable.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fenced(
        &self,
        lease: &Lease,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.lock();
        let ours = state.epoch == lease.epoch
            && state
                .owner
                .as_ref()
                .is_some_and(|(owner, _)| *owner == lease.owner);
        if ours {
            Ok(state)
        } else {
            Err(lease.fenced(BACKEND, operation))
        }
    }

    /// As [`fenced`](Self::fenced), unless the outbox is halted.
    fn readable(&self, lease: &Lease) -> Result<MutexGuard<'_, State>, Error> {
        let state = self.fenced(lease, "read")?;
        match state.halted {
            None => Ok(state),
            Some(_) => Err(lease.fenced(BACKEND, "read")),
        }
    }

    /// Changes a row that is parked.
    fn parked_row<T>(&self, id: EntryId, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.lock();
        let row = state.aside.get(&id);
        if row.is_none_or(|row| row.parked.is_none()) {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        }
        state.crashes.acquit(id);
        Ok(change(&mut state))
    }
}

impl State {
    fn write(&mut self, records: Vec<Record>) {
        let now = SystemClock.now();
        for record in records {
            self.last += 1;
            let id = EntryId::new(self.last);
            self.log.push_back(Entry::new(id, record, now));
        }
    }

    /// In how long the next scheduled message is due.
    fn next_due(&self) -> Option<Duration> {
        let next = self.scheduled.next()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Whether a row of the key of `entry` was set aside.
    fn is_behind(&self, entry: &Entry) -> bool {
        entry.ordering_key().is_some_and(|key| {
            let mut aside = self.aside.values();
            aside.any(|row| row.entry.ordering_key().as_ref() == Some(&key))
        })
    }

    /// The rows that wait aside and not for a parked one, in order.
    fn waiting(&self) -> impl Iterator<Item = &Entry> {
        let mut stopped = HashSet::new();
        self.aside.values().filter_map(move |row| {
            let key = row.entry.ordering_key();
            if row.parked.is_some() {
                stopped.extend(key);
                return None;
            }
            let waits = key.is_none_or(|key| !stopped.contains(&key));
            waits.then_some(&row.entry)
        })
    }

    /// What is known of the row of `entry`.
    fn row(&self, entry: &Entry) -> Entry {
        let in_log = self.log.binary_search_by_key(&entry.id, |row| row.id);
        let row = in_log.ok().and_then(|index| self.log.get(index));
        row.unwrap_or(entry).clone().with_behind(false)
    }

    fn settle(&mut self, entry: &Entry, settled: &Settled) {
        if *settled == Settled::Published {
            self.aside.remove(&entry.id);
            return;
        }
        let reason = settled.reason();
        let parked = reason.map(|reason| (reason.to_owned(), SystemClock.now()));
        let alone = entry.alone || settled.is_alone();
        let entry = self.row(entry).with_alone(alone);
        self.aside.insert(entry.id, Aside { entry, parked });
    }

    fn halt(&mut self, reason: &str) {
        let now = || Halted::new(reason, SystemClock.now());
        self.halted.get_or_insert_with(now);
    }
}

impl Store for Memory {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let (renewal, free) = match &state.owner {
            Some((current, until)) => (&**current == owner, *until < now),
            None => (false, true),
        };
        if !renewal && (!free || state.halted.is_some()) {
            return Ok(None);
        }
        if renewal {
            state.crashes.survived();
        } else {
            state.epoch += 1;
            if state.owner.is_some() {
                state.crashes.ended();
            }
        }
        let lease = Lease::new(owner, state.epoch).with_crashes(state.crashes);
        state.owner = Some((Arc::clone(&lease.owner), now + ttl));
        Ok(Some(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.shared.fenced(lease, "release").map(|mut state| {
            state.owner = None;
            state.crashes.trying = None;
        })
    }

    async fn progress(&self, lease: &Lease) -> Result<Progress, Error> {
        let mut state = self.shared.fenced(lease, "read")?;
        let position = Position::at(state.settled);
        let epoch = state.settled_epoch;
        let identity = state.identity.get_or_insert_with(|| {
            let identity = Uuid::now_v7().simple();
            identity.to_string().into()
        });
        Ok(Progress::new(Arc::clone(identity), position, epoch))
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let state = self.shared.readable(lease)?;
        let from = match from {
            Some(position) => position.number(BACKEND)?,
            None => state.settled,
        };
        let rows = state.log.iter().filter(|entry| entry.id.value() > from);
        let rows = rows.take(limit.get());
        let entries: Vec<_> = rows
            .map(|entry| entry.clone().with_behind(state.is_behind(entry)))
            .collect();
        let next = entries.last().map_or(from, |entry| entry.id.value());
        let window = Window::new(entries, Some(Position::at(next)));
        let window = window.with_aside(state.waiting().next().is_some());
        Ok(window.with_due(state.next_due()))
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let state = self.shared.readable(lease)?;
        let rows = state.waiting();
        let rows = rows.filter(|entry| !held.contains(&entry.record.topic));
        let entries: Vec<_> = rows.take(limit.get()).cloned().collect();
        Ok(Window::new(entries, None).with_aside(true))
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        let mut state = self.shared.fenced(lease, "promote")?;
        let due = state.scheduled.take_due(Instant::now(), limit.get());
        state.write(due);
        Ok(state.next_due())
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        window.check(settled, BACKEND)?;
        let next = window.next.as_ref().map(|next| next.number(BACKEND));
        let next = next.transpose()?;
        let mut state = self.shared.fenced(lease, "settle")?;
        for (entry, settled) in window.entries.iter().zip(settled) {
            state.settle(entry, settled);
        }
        state.crashes.settled(next.is_some());
        if let Some(reason) = Settled::halt(settled) {
            state.halt(reason);
        }
        if let Some(next) = next {
            state.settled = next;
            state.settled_epoch = lease.epoch;
            let left = state.log.partition_point(|row| row.id.value() <= next);
            state.log.drain(..left);
        }
        Ok(())
    }

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        let mut state = self.shared.fenced(lease, "try")?;
        match row {
            Some(row) => state.crashes.trying = Some(row),
            None => state.crashes.survived(),
        }
        Ok(())
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        self.shared.lock().halt(reason);
        self.shared.committed.notify_one();
        Ok(())
    }

    async fn resume(&self) -> Result<(), Error> {
        self.shared.lock().halted = None;
        Ok(())
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        Ok(self.shared.lock().halted.clone())
    }

    async fn committed(&self) {
        self.shared.committed.notified().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        let state = self.shared.lock();
        let now = Instant::now();
        let aside = state.aside.values();
        let held = aside.filter(|row| row.parked.is_none());
        let held: Vec<_> = held.map(|row| &row.entry).collect();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let parked = state.aside.values().filter(|row| row.parked.is_some());
        let stopped: HashSet<_> = parked.filter_map(|row| row.entry.ordering_key()).collect();
        let waiting = state.log.iter().chain(held.iter().copied());
        Ok(Status {
            pending: count(state.log.len() + held.len()),
            oldest: waiting.map(|entry| entry.created_at).min(),
            aside: count(held.len()),
            parked: count(state.aside.len() - held.len()),
            scheduled: count(state.scheduled.len()),
            parked_keys: count(stopped.len()),
            halted: state.halted.clone(),
            owner: state
                .owner
                .as_ref()
                .filter(|(_, until)| *until >= now)
                .map(|(owner, _)| Arc::clone(owner)),
            epoch: state.epoch,
        })
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let state = self.shared.lock();
        let parked = state.aside.values().filter_map(|row| {
            let (reason, at) = row.parked.as_ref()?;
            Some(Parked::new(row.entry.clone(), reason.clone(), *at))
        });
        Ok(parked.take(limit.get()).collect())
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.shared.parked_row(id, |state| {
            if let Some(row) = state.aside.get_mut(&id) {
                row.parked = None;
            }
        })?;
        self.shared.committed.notify_one();
        Ok(())
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.shared
            .parked_row(id, |state| drop(state.aside.remove(&id)))?;
        self.shared.committed.notify_one();
        Ok(())
    }
}
