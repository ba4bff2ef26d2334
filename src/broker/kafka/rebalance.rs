use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::BaseConsumer;
use rdkafka::consumer::{Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::context::Reports;
use crate::broker::{Committed, TopicPartition};

/// What the group's coordinator has decided and we have not yet acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Assign(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
}

/// Takes decisions from librdkafka's thread of polling and hands them to ours. Nothing is assigned
/// or given up here: that would be before the consumer had a chance to commit.
#[derive(Debug, Default)]
pub(super) struct Rebalances {
    reports: Reports,
    state: Mutex<State>,
    /// Wakes the poll that waits for records.
    pub(super) news: Notify,
}

/// While it lives, somebody polls.
pub(super) struct Polling<'a>(&'a Rebalances);

#[derive(Debug, Default)]
struct State {
    /// When somebody polled last.
    polled: Option<Instant>,
    decisions: VecDeque<Decision>,
    /// Set at the end: nobody acts upon decisions any more, so they are agreed to at once.
    closing: bool,
}

impl Rebalances {
    pub(super) fn next(&self) -> Option<Decision> {
        self.state().decisions.pop_front()
    }

    pub(super) fn has_next(&self) -> bool {
        !self.state().decisions.is_empty()
    }

    /// From now on agrees to whatever comes; returns what was to be begun, and what was to be given
    /// up.
    pub(super) fn close(&self) -> (Vec<Vec<TopicPartition>>, Vec<Vec<TopicPartition>>) {
        let mut state = self.state();
        state.closing = true;
        let (mut assigned, mut revoked) = (Vec::new(), Vec::new());
        for decision in state.decisions.drain(..) {
            match decision {
                Decision::Assign(partitions) => assigned.push(partitions),
                Decision::Lost(partitions) | Decision::Revoke(partitions) => {
                    revoked.push(partitions);
                }
            }
        }
        (assigned, revoked)
    }

    /// How long nobody has polled.
    pub(super) fn silence(&self) -> Duration {
        let polled = self.state().polled;
        polled.map_or(Duration::ZERO, |polled| polled.elapsed())
    }

    pub(super) fn polling(&self) -> Polling<'_> {
        Polling(self)
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.state().polled = Some(Instant::now());
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Reports::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(&error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let mut state = self.state();
        if state.closing {
            drop(state);
            let agreed = if assigned {
                take(consumer, partitions)
            } else {
                give_up(consumer, partitions)
            };
            if let Err(error) = agreed {
                tracing::debug!(%error, "partitions could not be given up at the end");
            }
            return;
        }
        let partitions = names(partitions);
        let revoked = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS;
        state.decisions.push_back(if assigned {
            Decision::Assign(partitions)
        } else if revoked && !consumer.assignment_lost() {
            Decision::Revoke(partitions)
        } else {
            // Any other code is a failure of the group, after which nothing can be committed.
            if !revoked {
                tracing::warn!(?code, "the group could not be rebalanced");
            }
            Decision::Lost(partitions)
        });
        drop(state);
        self.news.notify_one();
    }
}

/// Tells librdkafka that `partitions` are not ours any more.
pub(super) fn give_up<C: rdkafka::consumer::Consumer<Rebalances>>(
    consumer: &C,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

/// Tells librdkafka to read `partitions` from the offsets in the list.
pub(super) fn take<C: rdkafka::consumer::Consumer<Rebalances>>(
    consumer: &C,
    partitions: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

pub(super) fn list<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(&partition.topic, number(partition));
    }
    list
}

/// Adds to `list` how far a group has come in `partition`.
pub(super) fn set(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    committed: &Committed,
) -> Result<(), KafkaError> {
    let mut entry = list.add_partition(&partition.topic, number(partition));
    let next = i64::try_from(committed.next).unwrap_or(i64::MAX);
    entry.set_offset(Offset::Offset(next))?;
    if let Some(metadata) = &committed.metadata {
        entry.set_metadata(&**metadata);
    }
    Ok(())
}

/// The first error of a single partition: a call about several fails only when all of them do.
pub(super) fn each(list: &TopicPartitionList) -> Result<(), KafkaError> {
    let elements = list.elements();
    elements.into_iter().try_for_each(|one| one.error())
}

pub(super) fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition).unwrap_or(i32::MAX)
}

fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .filter_map(|found| {
            Some(TopicPartition::new(
                found.topic(),
                u32::try_from(found.partition()).ok()?,
            ))
        })
        .collect()
}
