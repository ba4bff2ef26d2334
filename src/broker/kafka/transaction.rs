use std::fmt;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::sleep;

use super::Subscriber;
use super::batch::Batch;
use super::calls::Calls;
use super::counts::Counts;
use super::error::{BACKEND, error};
use super::rebalance::set;
use super::send::{acknowledged, answered, send};
use super::transactor::{State, Transactor};
use super::window::is_taken_back;
use crate::broker::{Appended, Commit, Committed, PublishError, Record, TopicPartition};
use crate::error::{Error, Kind};

/// How long a full queue is given to drain before it is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// An open transaction. Dropped, it is aborted when the next one begins, or when its time is up: twice
/// the `message_timeout`. What is behind it in its partitions is not seen by anybody until then.
#[must_use = "it is aborted when it is dropped"]
pub struct Transaction<'a> {
    transactor: &'a Transactor,
    calls: &'a Calls,
    counts: &'a Counts,
}

impl<'a> Transaction<'a> {
    pub(super) const fn new(
        transactor: &'a Transactor,
        calls: &'a Calls,
        counts: &'a Counts,
    ) -> Self {
        Self {
            transactor,
            calls,
            counts,
        }
    }

    /// Appends `batch`, as [`Publisher::publish`](crate::broker::Publisher::publish) does: one result
    /// per record, in order, and what follows a record of its key that was not sent is not sent either.
    ///
    /// `Ok` means that the broker has it; it is seen when the transaction is committed. A record that
    /// the broker refuses, or does not acknowledge in time, fails the transaction, and `Contention` is
    /// what the others say then. After a refusal the next transaction may fail with `Contention` too.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: when dropped, any part of the batch may be in the transaction. Abort it then.
    pub async fn publish(&mut self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let Transactor {
            settings,
            producer,
            reports,
            ..
        } = self.transactor;
        let topics = self.counts.look_up(producer, reports, &batch).await;
        let max_record = usize::try_from(settings.max_record).unwrap_or(usize::MAX);
        let mut batch = Batch::new(batch, topics, max_record);
        let mut sent = Vec::with_capacity(batch.records.len());
        for index in 0..batch.records.len() {
            if batch.admit(index).is_none() {
                continue;
            }
            let answer = loop {
                match send(producer, &batch.records[index]) {
                    Some(answer) => break answer,
                    None => sleep(QUEUE_FULL).await,
                }
            };
            match answer {
                Ok(answer) => sent.push((index, answer)),
                Err(failed) => batch.end(index, Err(not_taken(failed))),
            }
        }
        for (index, answer) in sent {
            let result = match answered(answer.await) {
                Err(failed) if is_taken_back(&failed) => Err(not_seen(failed)),
                answer => acknowledged(&batch.records[index], answer),
            };
            batch.end(index, result);
        }
        for topic in batch.missing() {
            self.counts.forget(topic);
        }
        batch.into_results()
    }

    /// Makes how far `group` has come in `partition` part of the transaction. Nobody need be a member
    /// of the group, and the topic need not be the source of anything: it is a place for a position
    /// that moves with the records, and is read by
    /// [`Transactional::position`](super::Transactional::position).
    ///
    /// # Errors
    ///
    /// `TooLarge` when the metadata is longer than the configuration allows; the transaction goes on.
    /// After any other it has failed.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the position may be in the transaction, or will be.
    pub async fn commit_position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) -> Result<(), Error> {
        let length = committed.metadata.as_ref().map_or(0, |text| text.len());
        let max = self.transactor.settings.max_metadata;
        if u64::try_from(length).unwrap_or(u64::MAX) > max {
            return Err(Error::new(Kind::TooLarge, BACKEND, "commit position")
                .with_detail(format!("metadata has {length} bytes, allowed: up to {max}")));
        }
        let mut offsets = TopicPartitionList::new();
        set(&mut offsets, partition, committed).map_err(error("commit position"))?;
        let group = group.to_owned();
        let send = move |transactor: &Transactor, state: &mut State| {
            let group = transactor.speak_for(state, &group)?;
            transactor.send_offsets(state, &offsets, &group)
        };
        self.calls.run("commit position", send).await
    }

    /// Makes what `subscriber` has handled part of the transaction, as its own
    /// [`commit`](crate::broker::Subscriber::commit) would do it alone.
    ///
    /// # Errors
    ///
    /// `Fenced` when an assignment has ended, or when the group has given the member up; `TooLarge`
    /// when the metadata of one is too long. After either of these found here the transaction goes on,
    /// after one that the broker found it has failed: abort it, what was handled is handled again.
    ///
    /// # Cancel safety
    ///
    /// When dropped, `commits` may be in the transaction, or will be.
    pub async fn commit_consumed(
        &mut self,
        subscriber: &Subscriber,
        commits: &[Commit],
    ) -> Result<(), Error> {
        let Some((offsets, group)) = subscriber.consumed(commits)? else {
            return Ok(());
        };
        let send = move |transactor: &Transactor, state: &mut State| {
            transactor.send_offsets(state, &offsets, &group)
        };
        self.calls.run("commit position", send).await
    }

    /// Makes everything in the transaction seen at once. While the broker does not answer it is asked
    /// again, for as long as a record may wait.
    ///
    /// # Errors
    ///
    /// `Fenced` when somebody else has the transactional id: nothing is seen. After a transient error
    /// nobody knows. After any other nothing is seen. How to go on is said
    /// [there](super::Transactional).
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may be committed, or will be; the next one waits for that, and a
    /// position in it tells.
    pub async fn commit(self) -> Result<(), Error> {
        self.calls.run("commit", Transactor::commit).await
    }

    /// Drops everything in the transaction; nobody sees it.
    ///
    /// # Errors
    ///
    /// As [`Transactional::begin`](super::Transactional::begin).
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction is aborted nevertheless.
    pub async fn abort(self) -> Result<(), Error> {
        self.calls.run("abort", Transactor::abort).await
    }
}

/// A record that the driver does not take. It takes none when the transaction has failed.
fn not_taken(failed: KafkaError) -> PublishError {
    match failed.rdkafka_error_code() {
        Some(Code::State) => not_seen(failed),
        _ => PublishError::not_sent(error("publish")(failed)),
    }
}

/// A record of a transaction that has failed already: wherever it is, nobody sees it.
fn not_seen(failed: KafkaError) -> PublishError {
    let error = Error::new(Kind::Contention, BACKEND, "publish");
    let error = error.with_detail("the transaction has failed");
    PublishError::not_sent(error.with_source(failed))
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kafka::Transaction")
    }
}
