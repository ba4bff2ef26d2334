use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Assigned, Commit, Position, Record, TopicPartition};
use crate::error::Error;

/// One member of a consumer group.
///
/// # Contract
///
/// 1. A partition belongs to at most one member of a group at a time. It is announced by
///    [`Polled::Assigned`] before its first record, and taken back by [`Polled::Revoking`] (commit
///    what is done, then [`release`](Self::release)) or [`Polled::Lost`] (it is somebody else's
///    already; commits for it are refused).
/// 2. Each assignment has an epoch of its own. A commit names it and is refused with
///    [`Kind::Fenced`](crate::error::Kind::Fenced) once the assignment has ended, so a late result
///    never moves a position that another member owns.
/// 3. Records of a partition come in offset order, from the committed position, or from [`Start`]
///    when there is none. Records are never skipped; after a crash those since the last commit come
///    again.
/// 4. A member that does not poll for longer than its session timeout loses its partitions. Polling
///    goes on while partitions are paused.
pub trait Subscriber: fmt::Debug + Send + 'static {
    /// Joins `group` for `topics`. Called before anything else, and again only after it failed.
    ///
    /// # Errors
    ///
    /// `NotFound` when a topic does not exist, `Unavailable` when the broker cannot be reached,
    /// `Unauthorized` when it refuses us. The embedded brokers say `Invalid` when it has joined before,
    /// or when group or topics are empty.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: when dropped, it may have joined. Close the subscriber then, and make another.
    fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits for the next records (at most `max`, at least one) or for a change of assignment.
    ///
    /// # Errors
    ///
    /// Transient errors may be polled through; after a permanent one the member is of no use.
    /// `Invalid` before [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a record is handed out by the poll that returns it, or by a later one.
    fn poll(&mut self, max: NonZeroUsize) -> impl Future<Output = Result<Polled, Error>> + Send;

    /// Commits how far the group has come, for each assignment.
    ///
    /// The call begins it, and the future waits for the answer. It holds nothing of the subscriber, so
    /// that polling goes on meanwhile: while a group is rebalanced the answer may take long, and a
    /// member that does not poll loses its partitions.
    ///
    /// # Errors
    ///
    /// `Fenced` when an assignment has ended, `TooLarge` when the metadata of one is longer than
    /// [`max_metadata`](Self::max_metadata); then none of `commits` is committed. After `Timeout` or
    /// `Unavailable` they may be committed; commit them again.
    ///
    /// # Cancel safety
    ///
    /// When dropped, `commits` may be committed, or will be, also after a later commit. Records may come
    /// again then, but none is skipped.
    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<Self>;

    /// The longest metadata of a commit, in bytes.
    fn max_metadata(&self) -> usize;

    /// What spans call the broker, e.g. `kafka`: the `messaging.system` of OpenTelemetry.
    fn system(&self) -> &'static str;

    /// Where the next record of each of `partitions` will stand, as far as a member of the group could
    /// read it: a record of a transaction that is not committed is not there yet.
    ///
    /// The call begins it, and the future waits for the answer, as with [`commit`](Self::commit). A
    /// partition of which nobody can say it now is left out.
    ///
    /// # Errors
    ///
    /// Those of the back-end. `Invalid` before [`subscribe`](Self::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<Self>;

    /// Gives partitions back after [`Polled::Revoking`]; whatever is to be committed has been.
    ///
    /// # Errors
    ///
    /// Those of the back-end; the partitions are given up in any case.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the partitions may be ours still; later polls then tell of them anew.
    fn release(
        &mut self,
        partitions: &[Assignment],
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Stops handing out records of a partition until [`resume`](Self::resume); ignored for
    /// partitions that are not ours.
    fn pause(&mut self, partition: &TopicPartition);

    /// Hands out records of a paused partition again.
    fn resume(&mut self, partition: &TopicPartition);

    /// Goes on reading an assigned partition at `offset`, forwards or backwards.
    ///
    /// # Errors
    ///
    /// `Fenced` when the assignment has ended, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, reading goes on at `offset` or where it was.
    fn seek(
        &mut self,
        assignment: &Assignment,
        offset: u64,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Leaves the group, so that others take over at once. Uncommitted records come again.
    ///
    /// # Errors
    ///
    /// Those of the back-end; the membership then ends by timeout.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the membership ends by timeout at the latest.
    fn close(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where a group starts in a partition that it has never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "the two ends of a log")]
pub enum Start {
    /// At the oldest record that is kept.
    #[default]
    Earliest,
    /// After the newest record at the time of the assignment.
    Latest,
}

/// A partition while it is ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// Tells this assignment from earlier and later ones of the same partition.
    pub epoch: u64,
}

impl Assignment {
    /// `partition` in assignment `epoch`.
    #[must_use]
    pub fn new(partition: TopicPartition, epoch: u64) -> Self {
        Self { partition, epoch }
    }
}

/// What [`Subscriber::poll`] found.
#[derive(Debug)]
#[non_exhaustive]
pub enum Polled {
    /// These partitions are ours now.
    Assigned(Vec<Assigned>),
    /// These partitions were taken away; nothing can be committed for them any more.
    Lost(Vec<Assignment>),
    /// Records, in offset order within each partition.
    Records(Vec<Received>),
    /// These partitions are to be given back: finish, commit, then [`Subscriber::release`].
    Revoking(Vec<Assignment>),
}

/// A record as it was read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Received {
    /// The record.
    pub record: Record,
    /// Where it stands.
    pub position: Position,
    /// The epoch of the assignment under which it was read.
    pub epoch: u64,
    /// When the broker, or the producer, stamped it.
    pub timestamp: Option<DateTime<Utc>>,
}

impl Received {
    /// `record`, read at `position` under assignment `epoch`.
    #[must_use]
    pub fn new(record: Record, position: Position, epoch: u64) -> Self {
        Self {
            record,
            position,
            epoch,
            timestamp: None,
        }
    }

    /// Sets when it was stamped.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: DateTime<Utc>) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The assignment under which it was read.
    #[must_use]
    pub fn assignment(&self) -> Assignment {
        Assignment::new(self.position.partition.clone(), self.epoch)
    }
}
