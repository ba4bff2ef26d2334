use std::fmt;
use std::future::Future;

use super::{Appended, Committed, PublishError, Record, TopicPartition};
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;

/// Connects producers whose batches are seen all together or not at all.
pub trait Transactions: fmt::Debug + Send + Sync + 'static {
    /// What it connects.
    type Producer: Transactional;

    /// Connects, and takes the work that `id` names over from whoever had it: nothing more of that
    /// producer is seen afterwards, and what it was about to commit is settled, one way or the other.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when `id` is empty, and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the older producer may be fenced, or will be.
    fn connect(&self, id: &str) -> impl Future<Output = Result<Self::Producer, Error>> + Send;
}

/// Publishes batches that are seen all together or not at all, each with a position in it.
///
/// # Contract
///
/// 1. A batch gives exactly one result per record, in the batch's order. When all of them are `Ok`, the
///    whole batch is there, and the position with it. When one is not, nobody ever sees anything of the
///    batch, the position is where it was, and `Ok` says that the broker would have taken the record.
/// 2. Records of one topic with the same key are appended in the batch's order, and a batch behind those
///    before it.
/// 3. After an error nobody knows what became of the batch; [`position`](Self::position), of this
///    producer or of the next one with its id, tells.
/// 4. Once another producer has its id, nothing more is seen of it: publishing fails with
///    [`Kind::Fenced`].
pub trait Transactional: fmt::Debug + Send + 'static {
    /// Appends `batch`, which may be empty, and moves `group` in `partition` to `committed`. Nobody need
    /// be a member of the group, and the partition need not be the source of anything: it is a place for
    /// a position that moves with the records.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`] when another producer has the id; [`Kind::Closed`] when this one is of no use any
    /// more, and another is to be connected; [`Kind::TooLarge`] when the metadata is longer than
    /// [`max_metadata`](Self::max_metadata); [`Kind::NotFound`] when the partition is not there; and those
    /// of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: when dropped, the batch may be there, or will be; the position tells.
    fn publish(
        &mut self,
        batch: Vec<Record>,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> impl Future<Output = Result<Vec<Result<Appended, PublishError>>, Error>> + Send;

    /// How far `group` has come in `partition`, with all that was published before; `None` when it has
    /// never committed there.
    ///
    /// # Errors
    ///
    /// [`Kind::Fenced`], [`Kind::Closed`], and those of the back-end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> impl Future<Output = Result<Option<Committed>, Error>> + Send;

    /// The longest metadata of a position, in bytes.
    fn max_metadata(&self) -> usize;
}
