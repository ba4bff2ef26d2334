//! The outbox in memory: for tests, and for what need not survive the process.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Entry, EntryId, Lease, Parked, Routing, Settled, Status, Store, Window};
use crate::broker::Record;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Kind};
use crate::message::Message;

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
    records: Vec<(EntryId, Record)>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    committed: Notify,
}

#[derive(Debug, Default)]
struct State {
    last_id: i64,
    rows: BTreeMap<EntryId, Row>,
    owner: Option<(Arc<str>, Instant)>,
    epoch: u64,
}

#[derive(Debug)]
struct Row {
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
        }
    }

    /// Adds `message` to `tx`, and returns its place in the order.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`].
    pub fn enqueue(&self, tx: &mut Transaction, message: &Message) -> Result<EntryId, Error> {
        let topic = self.routing.topic(BACKEND, message)?;
        let record = Record::from_message(topic, message)?;
        let mut state = self.shared.lock();
        // As a database does it: the place is drawn now, whether or not the transaction commits.
        state.last_id += 1;
        let id = EntryId::new(state.last_id);
        tx.records.push((id, record));
        Ok(id)
    }
}

impl Transaction {
    /// Makes the messages visible to the relay, all at once.
    pub fn commit(self) {
        let now = SystemClock.now();
        let mut state = self.shared.lock();
        for (id, record) in self.records {
            state.rows.insert(
                id,
                Row {
                    entry: Entry::new(id, record, now),
                    parked: None,
                },
            );
        }
        drop(state);
        self.shared.committed.notify_one();
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

    fn parked_row<T>(&self, id: EntryId, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.lock();
        if state.rows.get(&id).is_none_or(|row| row.parked.is_none()) {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        }
        Ok(change(&mut state))
    }
}

impl State {
    /// Whether an earlier row of the same key is parked.
    fn is_held(&self, entry: &Entry) -> bool {
        let Some(key) = entry.ordering_key() else {
            return false;
        };
        self.rows
            .range(..entry.id)
            .any(|(_, row)| row.parked.is_some() && row.entry.ordering_key().as_ref() == Some(&key))
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
        if !renewal && !free {
            return Ok(None);
        }
        if !renewal {
            state.epoch += 1;
        }
        let lease = Lease::new(owner, state.epoch);
        state.owner = Some((Arc::clone(&lease.owner), now + ttl));
        Ok(Some(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.shared
            .fenced(lease, "release")
            .map(|mut state| state.owner = None)
    }

    async fn read(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
        held: &[Arc<str>],
    ) -> Result<Window, Error> {
        let mut state = self.shared.fenced(lease, "read")?;
        let ids: Vec<_> = state
            .rows
            .values()
            .filter(|row| row.parked.is_none() && !held.contains(&row.entry.record.topic))
            .filter(|row| !state.is_held(&row.entry))
            .map(|row| row.entry.id)
            .take(limit.get())
            .collect();
        let mut entries = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(row) = state.rows.get_mut(&id) {
                row.entry.attempts += 1;
                entries.push(row.entry.clone());
            }
        }
        Ok(Window::new(entries))
    }

    async fn settle(
        &self,
        lease: &Lease,
        _window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let mut state = self.shared.fenced(lease, "settle")?;
        for settled in settled {
            match settled {
                Settled::Published(id) => {
                    state.rows.remove(id);
                }
                Settled::Parked(id, reason) => {
                    if let Some(row) = state.rows.get_mut(id) {
                        row.parked = Some((reason.clone(), SystemClock.now()));
                    }
                }
            }
        }
        Ok(())
    }

    async fn committed(&self) {
        self.shared.committed.notified().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        let state = self.shared.lock();
        let now = Instant::now();
        let waiting = || state.rows.values().filter(|row| row.parked.is_none());
        let pending = u64::try_from(waiting().count()).unwrap_or(u64::MAX);
        let all = u64::try_from(state.rows.len()).unwrap_or(u64::MAX);
        Ok(Status {
            pending,
            oldest: waiting().map(|row| row.entry.created_at).min(),
            parked: all - pending,
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
        let parked = state.rows.values().filter_map(|row| {
            let (reason, at) = row.parked.as_ref()?;
            Some(Parked::new(row.entry.clone(), reason.clone(), *at))
        });
        Ok(parked.take(limit.get()).collect())
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.shared.parked_row(id, |state| {
            if let Some(row) = state.rows.get_mut(&id) {
                row.parked = None;
                row.entry.attempts = 0;
            }
        })?;
        self.shared.committed.notify_one();
        Ok(())
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.shared
            .parked_row(id, |state| drop(state.rows.remove(&id)))?;
        self.shared.committed.notify_one();
        Ok(())
    }
}
