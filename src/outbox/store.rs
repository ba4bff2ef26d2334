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
/// # Contract
///
/// 1. At most one lease is valid at a time. Taking it over raises the epoch; every call that carries
///    an older epoch changes nothing and fails with [`Kind::Fenced`]. The lease's life is measured
///    by the store's own clock.
/// 2. [`read`](Self::read) returns only committed rows, and sooner or later every one of them, also
///    when transactions commit in another order than they began. Within one ordering key (topic and
///    key) rows come in the order in which they were enqueued; those of transactions that were open
///    at the same time have no order between them, unless one waited for the other.
/// 3. A row is returned again, with its attempts counted, until it is settled as
///    [`Settled::Published`], or parked. While a row is parked, later rows of its ordering key are
///    not returned.
/// 4. A crash between publishing and [`settle`](Self::settle) publishes the window again: at least
///    once, at most one window of duplicates per crash.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Takes the lease for `ttl` if it is free, expired or already `owner`'s; `None` while somebody
    /// else holds it. `owner` is unique to one running relay.
    ///
    /// # Errors
    ///
    /// [`Kind::Unavailable`], [`Kind::Timeout`] or [`Kind::Contention`] when the store cannot answer
    /// now, [`Kind::Schema`] without its tables, and others of the back-end. The lease may be ours
    /// nevertheless.
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

    /// The next rows to publish, at most `limit` and none of a topic in `held`, and counts one attempt
    /// for each.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours, and those of the back-end. A row that cannot
    /// be read is parked by the store, not returned, and fails nothing else.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but for the attempts, which may be counted.
    fn read(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
        held: &[Arc<str>],
    ) -> impl Future<Output = Result<Window, Error>> + Send;

    /// Notes what became of the rows of `window`, all in one transaction. Rows that `settled` does
    /// not mention are returned by a later read.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when the lease is no longer ours; nothing is changed then. Else those of the
    /// back-end: all is noted then, or nothing.
    ///
    /// # Cancel safety
    ///
    /// When dropped, all of `settled` is noted or nothing; what is not is published again.
    fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> impl Future<Output = Result<(), Error>> + Send;

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

/// Rows to publish together.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// The rows in order.
    pub entries: Vec<Entry>,
}

impl Window {
    /// A window of `entries`, in order.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// Its key is stopped until an operator decides; why, in words.
    Parked(EntryId, String),
    /// The broker has it.
    Published(EntryId),
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
    /// Who relays, if anybody holds a valid lease.
    pub owner: Option<Arc<str>>,
    /// The epoch of the newest lease.
    pub epoch: u64,
}
