use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Entry, EntryId};
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
///    of duplicates per crash.
/// 5. A row of the log whose ordering key has a row set aside is read as [`Entry::behind`], and is to
///    be set aside too. What waits aside comes by [`set_aside`](Self::set_aside), in order, and no row
///    of a key while an earlier one is parked.
///
/// A store whose relays work side by side, as those of `PostgresQueue` do, gives each of them a lease of its
/// own, and what one has read to nobody else until it is settled or that lease ends. It keeps no order, no row
/// is behind another, and there is nothing to read ahead.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Takes the lease for `ttl` if it is free, expired or already `owner`'s; `None` while somebody
    /// else holds it. `owner` is unique to one running relay.
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

    /// The next rows of the log, at most `limit`: after `from`, or after what was settled last.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours, and those of the back-end.
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

    /// Notes what became of `window`, all in one transaction: `settled` has one answer for each of its
    /// rows, in order.
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

    /// Puts a parked row back; its key goes on in order.
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
}

impl Lease {
    /// The lease of `owner` in `epoch`.
    #[must_use]
    pub fn new(owner: impl Into<Arc<str>>, epoch: u64) -> Self {
        Self {
            owner: owner.into(),
            epoch,
        }
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
}

impl Window {
    /// A window of `entries`, in order, after which the log goes on at `next`.
    #[must_use]
    pub fn new(entries: Vec<Entry>, next: Option<Position>) -> Self {
        Self {
            entries,
            next,
            aside: false,
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
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The broker has it.
    Published,
    /// It waits aside, and its key with it.
    Aside,
    /// It is set aside until an operator decides, and its key waits with it; why, in words.
    Parked(String),
}

/// A row that stops its key.
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
    /// Parked rows.
    pub parked: u64,
    /// Who relays, if anybody holds a valid lease; `None` where relays work side by side.
    pub owner: Option<Arc<str>>,
    /// The epoch of the newest lease.
    pub epoch: u64,
}
