use std::fmt;
use std::sync::Arc;
use std::thread;

use tokio::task::spawn_blocking;

use super::Config;
use super::counts::Counts;
use super::error::{BACKEND, config, interrupted};
use super::transaction::Transaction;
use super::transactor::Transactor;
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
pub struct Transactional {
    pub(super) transactor: Option<Arc<Transactor>>,
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
        let connected = spawn_blocking(move || Transactor::connect(settings, &id));
        let transactor = connected.await.map_err(interrupted("connect"))??;
        Ok(Self {
            transactor: Some(Arc::new(transactor)),
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
        let transactor = Arc::clone(self.transactor("begin")?);
        transactor.run("begin", Transactor::begin).await?;
        Ok(Transaction::new(transactor, &self.counts))
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
        let read = move |transactor: &Transactor| transactor.position(&group, &partition);
        self.transactor("read position")?
            .run("read position", read)
            .await
    }

    fn transactor(&self, operation: &'static str) -> Result<&Arc<Transactor>, Error> {
        let transactor = self.transactor.as_ref();
        transactor.ok_or_else(|| Error::new(Kind::Closed, BACKEND, operation))
    }
}

impl Drop for Transactional {
    fn drop(&mut self) {
        let transactor = self.transactor.take();
        // The driver waits for its own threads then.
        let end = thread::Builder::new().name("kafka-end".to_owned());
        if let Err(error) = end.spawn(move || drop(transactor)) {
            tracing::debug!(%error, "the producer was ended in place");
        }
    }
}

impl fmt::Debug for Transactional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Transactional")
    }
}
