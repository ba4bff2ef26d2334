use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Crashes, Entry, EntryId, Halted, Progress, Settled};
use crate::error::{Error, Kind};

/// Where a relay reads what was enqueued and notes what it has published.
///
/// Writing is not part of the port: each back-end has `enqueue(&mut transaction, ..)`, which joins
/// the caller's transaction.
///
/// An outbox is a log that is read in windows, and what was set aside of it. The log has a position,
/// up to which everything is settled; a row that cannot be published now is set aside, so that the
/// position can move on.
///
/// # Contract
///
/// 1. At most one lease is valid at a time. Taking it over raises the epoch; every call that carries
///    an older epoch changes nothing and fails with [`Kind::Fenced`]. The lease's life is measured
///    by the store's own clock.
/// 2. [`read`](Self::read) returns only committed rows, and sooner or later every one of them, also
///    when transactions commit in another order than they began. Within one ordering key (topic and
///    key) rows come in the order in which they were enqueued; those of transactions that were open
///    at the same time have no order between them, unless one waited for the other.
/// 3. Reading changes nothing. Read again from the same position, the same rows come again, in the
///    same order, and at most those besides that were committed since.
/// 4. [`settle`](Self::settle) moves the position over a window and sets rows of it aside, all at once
///    or not at all. A crash before it publishes the window again: at least once, at most one window
///    of duplicates per crash. It knows rows by their ids, and a window of the log need not name those
///    that are published.
/// 5. A row of the log whose ordering key has a row set aside is read as [`Entry::behind`], and is to
///    be set aside too. What waits aside comes by [`set_aside`](Self::set_aside), in order, and no row
///    of a key while an earlier one is parked. A row that was parked alone stops nobody.
/// 6. While the outbox is halted nobody new gets the lease, and nothing is read. Who holds it may renew
///    it, settle what it has in hand, and give the lease up.
/// 7. A lease that is taken from an owner who has not given it up counts in [`Lease::crashes`]; so does,
///    for a row that was [being tried](Self::trying) and not answered, its row. Renewing the lease is an
///    answer, too.
/// 8. A message that is due later is no row of the log until [`promote`](Self::promote) has moved it
///    there. A window of the log says in how long the next one is due.
/// 9. Calls of one lease may overlap: what comes next is read while windows before it are published and
///    settled, and windows that were read one after the other may be settled as one.
///
/// A store whose relays work side by side, as those of `PostgresQueue` do, gives each of them a lease of its
/// own, and what one has read to nobody else until it is settled or that lease ends. It keeps no order, no row
/// is behind another, there is nothing to read ahead, and it need not know how leases have ended.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Takes the lease for `ttl` if it is free, expired or already `owner`'s; `None` while somebody
    /// else holds it, or the outbox is halted. `owner` is unique to one running relay.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`], [`Kind::Timeout`] or [`Kind::Contention`] when the store cannot answer
    /// now, [`Kind::Schema`] without its tables, [`Kind::Conflict`] when the tables are relayed in another
    /// way, and others of the back-end. The lease may be ours nevertheless.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the lease may be `owner`'s: asking again gives the same epoch, else it expires
    /// after `ttl`.
    fn lease(
        &self,
        owner: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<Option<Lease>, Error>> + Send;

    /// Gives the lease up, so that another relay need not wait for it to expire.
    ///
    /// # Errors
    ///
    /// Those of the back-end; [`Kind::Fenced`] when it is no longer ours.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the lease may be free; if it is not, it expires.
    fn release(&self, lease: &Lease) -> impl Future<Output = Result<(), Error>> + Send;

    /// How far the log is settled.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn progress(&self, lease: &Lease) -> impl Future<Output = Result<Progress, Error>> + Send;

    /// The next rows of the log, at most `limit`: after `from`, or after what was settled last.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours or the outbox is halted, and those of the
    /// back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> impl Future<Output = Result<Window, Error>> + Send;

    /// The rows that wait aside, at most `limit`, without those of the topics in `held` and those behind
    /// a parked row of their key.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> impl Future<Output = Result<Window, Error>> + Send;

    /// Moves scheduled messages into the log whose time has come by the store's clock, at most `limit`, in
    /// the order of due time, then of writing; in how long the next one is due then, if any is left.
    ///
    /// # Errors
    ///
    /// As [`settle`](Self::settle).
    ///
    /// # Cancel safety
    ///
    /// When dropped, all of them are moved or none; what is not is moved later.
    fn promote(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
    ) -> impl Future<Output = Result<Option<Duration>, Error>> + Send;

    /// Notes what became of `window`, all in one transaction: `settled` has one answer for each of its
    /// rows, in order. A window of the log moves the position to its end, under the lease's epoch.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours; nothing is changed then. Else those of the
    /// back-end: all is noted then, or nothing.
    ///
    /// # Cancel safety
    ///
    /// When dropped, all is noted or nothing; what is not is published again.
    fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Notes that `row` is about to be published alone, or, without a row, that there was an answer for
    /// it, whatever it was. A relay does so only when others have ended in a row.
    ///
    /// # Errors
    ///
    /// As [`release`](Self::release).
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may be noted.
    fn trying(
        &self,
        lease: &Lease,
        row: Option<EntryId>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Halts the outbox because of `reason`: a relay settles what it has in hand, without trying again what
    /// fails, and stops, and nobody relays until it is [resumed](Self::resume). One that is halted stays so for its first reason.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may be halted.
    fn halt(&self, reason: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Lets relays go on, within a third of their lease. What was parked stays so.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may be resumed.
    fn resume(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Why nobody relays, if the outbox is halted. It costs less than [`status`](Self::status).
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn halted(&self) -> impl Future<Output = Result<Option<Halted>, Error>> + Send;

    /// Gives back the room of what is settled. A relay calls it now and then; nothing depends on it but
    /// the size of the store.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: it is done later then.
    fn tidy(&self) -> impl Future<Output = Result<(), Error>> + Send {
        std::future::ready(Ok(()))
    }

    /// Returns when rows may have been committed since the last read. It is a hint: it may come
    /// without new rows, and a relay polls besides. A store that cannot tell never returns.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a hint that came while nobody waited is kept.
    fn committed(&self) -> impl Future<Output = ()> + Send;

    /// Says that the relay is about to wait: who commits from now on wakes it. The relay looks once more
    /// afterwards.
    ///
    /// A store need not be told when telling the relay costs its writers nothing.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may have been said.
    fn idle(&self, lease: &Lease) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = lease;
        std::future::ready(Ok(()))
    }

    /// Says that the relay is at work, so that nobody need wake it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// When dropped, it may have been said.
    fn busy(&self, lease: &Lease) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = lease;
        std::future::ready(Ok(()))
    }

    /// What an operator wants to know.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn status(&self) -> impl Future<Output = Result<Status, Error>> + Send;

    /// The parked rows in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// Those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is changed.
    fn parked(
        &self,
        limit: NonZeroUsize,
    ) -> impl Future<Output = Result<Vec<Parked>, Error>> + Send;

    /// Puts a parked row back; its key goes on in order, and who ended with it in hand counts no more.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] when no such row is parked, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the row may be back; putting it back again then fails with [`Kind::NotFound`].
    fn retry(&self, id: EntryId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Drops a parked row for good; its key goes on with the next one.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] when no such row is parked, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the row may be gone; dropping it again then fails with [`Kind::NotFound`].
    fn discard(&self, id: EntryId) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The right to relay, until it expires or is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Who holds it.
    pub owner: Arc<str>,
    /// Grows with every change of owner: the fencing token.
    pub epoch: u64,
    /// What became of those who held it before.
    pub crashes: Crashes,
}

impl Lease {
    /// The lease of `owner` in `epoch`.
    #[must_use]
    pub fn new(owner: impl Into<Arc<str>>, epoch: u64) -> Self {
        Self {
            owner: owner.into(),
            epoch,
            crashes: Crashes::default(),
        }
    }

    /// Says what became of those who held it before.
    #[must_use]
    pub fn with_crashes(mut self, crashes: Crashes) -> Self {
        self.crashes = crashes;
        self
    }

    /// The error of a call whose lease has been taken over.
    #[must_use]
    pub fn fenced(&self, backend: &'static str, operation: &'static str) -> Error {
        Error::new(Kind::Fenced, backend, operation).with_detail(format!(
            "lease of {} in epoch {} has ended",
            self.owner, self.epoch
        ))
    }
}

/// A place in the log of one outbox, in the store's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(Arc<str>);

impl Position {
    /// The position that the store writes as `text`.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// How the store writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of the row with number `id`.
    pub(super) fn at(id: i64) -> Self {
        Self::new(id.to_string())
    }

    /// The number of the row that it is.
    pub(super) fn number(&self, backend: &'static str) -> Result<i64, Error> {
        let number = self.0.parse();
        number.map_err(|source| Self::unknown(&self.0, backend).with_source(source))
    }

    /// The error of a store that has not written `text`.
    pub(super) fn unknown(text: &str, backend: &'static str) -> Error {
        Error::new(Kind::Invalid, backend, "read").with_detail(format!("{text:?} is no position"))
    }
}

/// Rows to publish together.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// The rows in order.
    pub entries: Vec<Entry>,
    /// Where the log goes on after them; `None` for rows that were set aside.
    pub next: Option<Position>,
    /// Whether rows wait aside that are not behind a parked one, as far as a look tells.
    pub aside: bool,
    /// In how long the next scheduled message is due, if there is any.
    pub due: Option<Duration>,
}

impl Window {
    /// A window of `entries`, in order, after which the log goes on at `next`.
    #[must_use]
    pub fn new(entries: Vec<Entry>, next: Option<Position>) -> Self {
        Self {
            entries,
            next,
            aside: false,
            due: None,
        }
    }

    /// Whether `settled` has an answer for each row.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when it has not.
    pub fn check(&self, settled: &[Settled], backend: &'static str) -> Result<(), Error> {
        let (rows, answers) = (self.entries.len(), settled.len());
        if rows == answers {
            return Ok(());
        }
        Err(Error::new(Kind::Invalid, backend, "settle")
            .with_detail(format!("{answers} answers for a window of {rows} rows")))
    }

    /// Says whether rows wait aside.
    #[must_use]
    pub fn with_aside(mut self, aside: bool) -> Self {
        self.aside = aside;
        self
    }

    /// Says in how long the next scheduled message is due.
    #[must_use]
    pub fn with_due(mut self, due: Option<Duration>) -> Self {
        self.due = due;
        self
    }
}

/// A row that waits for an operator, and stops its key unless it was parked alone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Parked {
    /// The row. When it could not be read, its record is what could be made of it.
    pub entry: Entry,
    /// Why it was parked.
    pub reason: String,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
}

impl Parked {
    /// `entry`, parked at `parked_at` because of `reason`.
    #[must_use]
    pub fn new(entry: Entry, reason: impl Into<String>, parked_at: DateTime<Utc>) -> Self {
        Self {
            entry,
            reason: reason.into(),
            parked_at,
        }
    }
}

/// The state of an outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Committed rows that are not yet published, without the parked ones.
    pub pending: u64,
    /// When the oldest of them was written.
    pub oldest: Option<DateTime<Utc>>,
    /// Those of them that were set aside.
    pub aside: u64,
    /// Parked rows.
    pub parked: u64,
    /// Keys that a parked row stops.
    pub parked_keys: u64,
    /// Messages that are due later, which are not pending until they are moved into the log.
    pub scheduled: u64,
    /// Why nobody relays, if the outbox is halted.
    pub halted: Option<Halted>,
    /// Who relays, if anybody holds a valid lease; `None` where relays work side by side.
    pub owner: Option<Arc<str>>,
    /// The epoch of the newest lease.
    pub epoch: u64,
}

impl Status {
    /// How long ago the oldest row was written that is not yet published, at `now`: by this machine's
    /// clock, while the row has the store's.
    #[must_use]
    pub fn oldest_age(&self, now: DateTime<Utc>) -> Option<Duration> {
        let oldest = self.oldest?;
        Some((now - oldest).to_std().unwrap_or_default())
    }
}
