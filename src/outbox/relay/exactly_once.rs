use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;

use super::delivery::Deliver;
use super::mark::{Mark, Rows, hash};
use crate::broker::{
    Appended, Committed, PublishError, Record, TopicPartition, Transactional, Transactions,
};
use crate::error::{Error, Kind};
use crate::outbox::{Entry, EntryId, Lease, Position, Progress, Settled, Store, Window};

/// Publishes in transactions of the broker, so that who reads what is committed there sees each row
/// exactly once, whatever crashes.
///
/// A window and the position after it are one transaction of the broker. It is committed there first and
/// settled in the store afterwards, so the broker's position is right wherever the two differ, and a
/// relay that takes the lease reads it before it publishes anything. By connecting it has fenced the one
/// before: what that one has in hand is never seen.
///
/// # How it decides
///
/// 1. `name` is the transactional id, and the group of the position, which stands in a partition that
///    exists. It names the outbox: a relay whose outbox is another one ends with [`Kind::Conflict`], and
///    so does one whose store has been set back, e.g. from a backup, as the broker's position says
///    nothing of it then. Once the group is deleted at the broker, it begins anew at the store's position.
/// 2. The broker's position says under which lease it was committed. If the store's was moved under a
///    later one, by relays that publish at least once, the store's is right; it also is when the
///    broker has none. So a running outbox is taken over as it is, and given back as it is.
/// 3. What is set aside of a window stands in the broker's position until the store has it.
/// 4. A record that is refused fails its transaction. It is parked or set aside as always, and the
///    others go in another transaction.
/// 5. What became of a transaction whose end is not known is told by the position: the relay connects
///    again and reads it.
///
/// # Guarantees
///
/// | | |
/// |---|---|
/// | a committed row | is seen exactly once by those who read what is committed, e.g. our subscribers |
/// | a relay that was stopped past its lease | publishes nothing more |
/// | relays that publish at least once | do not look at the broker's position: let one kind end before the other begins |
/// | a store that loses what it has confirmed, as in a fail-over to a replica that is behind | may lose rows: let it replicate synchronously |
/// | a name that is changed | begins anew at the store's position |
/// | a position that the broker has forgotten, in Kafka after `offsets.retention.minutes`, 7 days | is as one that never was: no row is lost, but a window in whose midst a relay crashed before is doubled |
/// | rows that wait aside | as many go in one transaction as the broker's limit for metadata lets it tell of |
///
/// In PostgreSQL the position names the transactions that were running when the window was read. If they
/// are too many for the broker's limit, some 180 for Kafka's default of 4,096 bytes, the relay waits for
/// fewer; raise `offset.metadata.max.bytes` there, and `max_metadata` here.
///
/// # Examples
///
/// ```
/// # tokio_test::block_on(async {
/// use bowline::broker::{self, TopicPartition, Topics};
/// use bowline::message::Message;
/// use bowline::outbox::relay::ExactlyOnce;
/// use bowline::outbox::{Memory, Relay};
///
/// let outbox = Memory::new().with_topic("tasks");
/// let mut tx = outbox.begin();
/// outbox.enqueue(&mut tx, &Message::new("task.created", "{}"))?;
/// tx.commit();
///
/// // Or `kafka::Transactions::new(&config)?`.
/// let broker = broker::Memory::new();
/// broker.create("tasks", 1.try_into().unwrap()).await?;
/// let place = TopicPartition::new("tasks", 0);
/// let delivery = ExactlyOnce::new(broker, "tasks-outbox", place);
/// let report = Relay::builder(outbox, delivery).build().unwrap().run_once().await?;
/// assert_eq!(report.published, 1);
/// # Ok::<_, bowline::Error>(()) }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct ExactlyOnce<T> {
    transactions: T,
    name: Arc<str>,
    place: TopicPartition,
}

/// A producer under a lease.
#[derive(Debug)]
#[expect(unnameable_types, reason = "the relay keeps it")]
pub struct Producing<P> {
    producer: P,
    outbox: Arc<str>,
    /// Where the store is.
    position: Position,
    epoch: u64,
}

impl<T: Transactions> ExactlyOnce<T> {
    /// By producers of `transactions`, for the outbox that is called `name` there, with its position in
    /// `place`: any partition that exists, e.g. the first of a topic that is published to. No two outboxes
    /// have the same name, and an outbox keeps its own.
    #[must_use]
    pub fn new(transactions: T, name: impl Into<Arc<str>>, place: TopicPartition) -> Self {
        Self {
            transactions,
            name: name.into(),
            place,
        }
    }

    /// Brings the store to where the broker is; where that is.
    async fn resume<S: Store>(
        &self,
        store: &S,
        lease: &Lease,
        stored: &Progress,
        found: &Committed,
    ) -> Result<Position, Error> {
        let mark = Mark::decode(found)?;
        if mark.outbox != stored.outbox {
            return Err(self.conflict("is of another outbox"));
        }
        if found.next > lease.epoch {
            let (found, newest) = (found.next, lease.epoch);
            return Err(self.conflict(&format!(
                "is of lease {found}, the newest one of the store is {newest}"
            )));
        }
        let is_newer = found.next >= stored.epoch;
        let (window, settled) = match mark.rows {
            Rows::Aside(ids) => (named(&ids, None), Settled::Published),
            Rows::Log { next, aside } if is_newer && next != stored.position => {
                (named(&aside, Some(next)), Settled::Aside)
            }
            Rows::Log { .. } => return Ok(stored.position.clone()),
        };
        if is_newer && mark.from != hash(&stored.position) {
            return Err(self.conflict("does not follow on the store's: it was set back"));
        }
        tracing::info!(
            name: "bowline.outbox.resume",
            rows = window.entries.len(),
            epoch = found.next,
            "the store follows the broker"
        );
        let settled = vec![settled; window.entries.len()];
        store.settle(lease, &window, &settled).await?;
        Ok(window.next.unwrap_or_else(|| stored.position.clone()))
    }

    fn conflict(&self, what: &str) -> Error {
        let conflict = Error::new(Kind::Conflict, "relay", "resume");
        conflict.with_detail(format!(
            "the position of {:?} at the broker {what}",
            self.name
        ))
    }
}

impl<T: Transactions> Deliver for ExactlyOnce<T> {
    type Session = Producing<T::Producer>;

    const ATOMIC: bool = true;

    async fn begin<S: Store>(&self, store: &S, lease: &Lease) -> Result<Self::Session, Error> {
        let connected = self.transactions.connect(&self.name).await;
        let mut producer = connected.map_err(mended)?;
        let found = producer.position(&self.name, &self.place).await;
        let found = found.map_err(mended)?;
        // Asked last: whoever takes the lease from here on connects after us.
        let stored = store.progress(lease).await?;
        let position = match found {
            Some(found) => self.resume(store, lease, &stored, &found).await?,
            None => stored.position,
        };
        Ok(Producing {
            producer,
            outbox: stored.outbox,
            position,
            epoch: lease.epoch,
        })
    }

    async fn publish(
        &self,
        session: &mut Self::Session,
        batch: Vec<Record>,
        window: &Window,
        known: &[Option<Settled>],
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        let rows = window.entries.iter().zip(known);
        let rows = match &window.next {
            Some(next) => Rows::Log {
                next: next.clone(),
                aside: ids(rows.filter(|(_, known)| known.is_some())),
            },
            None => Rows::Aside(ids(rows.filter(|(_, known)| known.is_none()))),
        };
        let mark = session.mark(rows)?;
        let committed = Committed::new(session.epoch).with_metadata(mark);
        let published = session
            .producer
            .publish(batch, &self.name, &self.place, &committed);
        let results = published.await.map_err(mended)?;
        if let (Some(next), true) = (&window.next, results.iter().all(Result::is_ok)) {
            // It is settled before anything else is published.
            session.position = next.clone();
        }
        Ok(results)
    }

    fn fitting(session: &Self::Session, window: &Window) -> usize {
        let max = session.producer.max_metadata();
        Mark::fitting(&session.outbox, &window.entries, max)
    }
}

impl<P: Transactional> Producing<P> {
    /// # Errors
    ///
    /// `TooLarge` when fewer rows would do, `Contention` when the position itself is too long.
    fn mark(&self, rows: Rows) -> Result<String, Error> {
        let max = self.producer.max_metadata();
        let (outbox, from) = (&self.outbox, hash(&self.position));
        let encode = |rows| {
            let outbox = Arc::clone(outbox);
            Mark { outbox, from, rows }.encode()
        };
        let mark = encode(rows.clone());
        if mark.len() <= max {
            return Ok(mark);
        }
        let kind = match rows {
            Rows::Log { next, aside } if !aside.is_empty() => {
                let aside = Vec::new();
                match encode(Rows::Log { next, aside }).len() {
                    bare if bare <= max => Kind::TooLarge,
                    _ => Kind::Contention,
                }
            }
            _ => Kind::Contention,
        };
        let length = mark.len();
        Err(Error::new(kind, "relay", "publish").with_detail(format!(
            "the position has {length} bytes, the broker takes {max}: too many transactions run"
        )))
    }
}

/// A window of rows of which only the ids are known.
fn named(ids: &[EntryId], next: Option<Position>) -> Window {
    let entries = ids.iter().map(|id| {
        let unknown = Record::new("", Bytes::new());
        Entry::new(*id, unknown, DateTime::default())
    });
    Window::new(entries.collect(), next)
}

fn ids<'a>(rows: impl Iterator<Item = (&'a Entry, &'a Option<Settled>)>) -> Vec<EntryId> {
    rows.map(|(entry, _)| entry.id).collect()
}

/// A producer that is of no use any more is replaced by the next session's.
fn mended(error: Error) -> Error {
    if error.kind() != Kind::Closed {
        return error;
    }
    let closed = Error::new(Kind::Unavailable, error.backend(), error.operation());
    closed.with_source(error)
}
