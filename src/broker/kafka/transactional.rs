use std::fmt;
use std::sync::Arc;

use super::Config;
use super::calls::Calls;
use super::counts::Counts;
use super::error::{BACKEND, config};
use super::transaction::Transaction;
use super::transactor::{State, Transactor};
use crate::broker::{Committed, TopicPartition};
use crate::error::{Error, Kind};

/// A producer whose records are seen all together or not at all.
///
/// It has a transactional id, which names the work and not the process: whoever connects with it next
/// takes the work over, and nothing of the one before is seen any more. Give each lane of a relay its
/// own.
///
/// After an error of a transaction, of whatever kind, go back to where it began and
/// [`begin`](Self::begin) again; what `begin` says decides:
///
/// | [`begin`](Self::begin) says | what it means | how to go on |
/// |---|---|---|
/// | `Ok` | the failed transaction is aborted | do its work again |
/// | `Fenced` | somebody else has the transactional id | stop: the work is theirs |
/// | `Closed` | the producer is of no use any more | if the work is still yours, [`connect`](Self::connect) again; whether the last transaction was committed is told by its [`position`](Self::position) |
/// | a transient error | the broker does not answer | begin again later |
///
/// A call takes as long as a record may wait and 10 s more, twice that when it has to abort first. One
/// that the driver does not end is given up later with `Closed`.
pub struct Transactional {
    /// Above the calls, as fields are dropped from the top: the thread of the calls has the last one,
    /// and waits there for those of the driver.
    pub(super) transactor: Arc<Transactor>,
    pub(super) calls: Calls,
    pub(super) counts: Counts,
}

impl Transactional {
    /// Connects, and takes `id` over: an older producer with it is fenced, its open transaction is
    /// aborted, and one that it was about to commit is settled.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when the configuration is not usable, `Unavailable` when the broker cannot be
    /// reached, `Unauthorized` when it refuses us.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the older producer may be fenced, or will be.
    pub async fn connect(settings: &Config, id: impl Into<String>) -> Result<Self, Error> {
        settings.check().map_err(config)?;
        let (settings, id) = (settings.clone(), id.into());
        if id.is_empty() {
            let empty = Error::new(Kind::Invalid, BACKEND, "connect");
            return Err(empty.with_detail("the transactional id is empty"));
        }
        let (transactor, calls) = Calls::connect(settings, id).await?;
        Ok(Self {
            transactor,
            calls,
            counts: Counts::default(),
        })
    }

    /// Begins a transaction. One that was dropped while it was open, or that has failed, is aborted
    /// first; one whose commit was dropped is waited for, and its position tells what became of it.
    ///
    /// # Errors
    ///
    /// See [above](Self).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a transaction that was begun is aborted by the next call.
    pub async fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        self.calls.run("begin", Transactor::begin).await?;
        Ok(Transaction::new(
            &self.transactor,
            &self.calls,
            &self.counts,
        ))
    }

    /// How far `group` has come in `partition`; `None` when it has never committed there. As
    /// [`begin`](Self::begin), it settles first what became of the transactions before.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Self::begin).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, Error> {
        let (group, partition) = (group.to_owned(), partition.clone());
        let read = move |transactor: &Transactor, state: &mut State| {
            transactor.position(state, &group, &partition)
        };
        self.calls.run("read position", read).await
    }
}

impl fmt::Debug for Transactional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Transactional")
    }
}
