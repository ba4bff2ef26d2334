use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream as _;
use rdkafka::consumer::stream_consumer::{MessageStream, StreamPartitionQueue};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::error::BACKEND;
use super::rebalance::{Rebalances, number};
use super::record::received;
use super::subscriber::Driver;
use crate::broker::{Received, TopicPartition};
use crate::error::{Error, Kind};

/// The records of one partition that librdkafka has read ahead.
///
/// Each partition has a queue of its own, so that one that is paused is simply not looked into. Pausing
/// by librdkafka's own call throws away what was read ahead, and reads it again from the broker.
pub(super) struct Queue(StreamPartitionQueue<Rebalances>);

impl Queue {
    /// Takes the records of `partition` out of the common queue. This comes before the partition is
    /// taken: from then on none of its records goes there.
    pub(super) fn split(driver: &Arc<Driver>, partition: &TopicPartition) -> Result<Self, Error> {
        let queue = driver.split_partition_queue(&partition.topic, number(partition));
        queue.map(Self).ok_or_else(|| {
            Error::new(Kind::Other, BACKEND, "poll")
                .with_detail(format!("{partition} has no queue"))
        })
    }

    /// What reads it. It is woken as long as it lives.
    pub(super) fn reader(&self) -> MessageStream<'_, Rebalances> {
        self.0.stream()
    }
}

/// A partition that is looked into.
pub(super) struct Source<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) epoch: u64,
    pub(super) reader: MessageStream<'a, Rebalances>,
}

/// What was found in queues.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) records: Vec<Received>,
    /// What the driver said after them.
    pub(super) failed: Option<KafkaError>,
}

/// Waits for at least one record, an error or a decision, and takes at most `max` records. The common
/// queue is served too: what happens to the group comes that way, and before any record of what may
/// be somebody else's by now.
///
/// Cancel safe: a record is taken only by the poll that returns it.
pub(super) async fn read(
    common: &mut MessageStream<'_, Rebalances>,
    group: &Rebalances,
    sources: &mut [Source<'_>],
    max: usize,
) -> Found {
    poll_fn(|cx| {
        let mut found = Found::default();
        while let Poll::Ready(Some(news)) = Pin::new(&mut *common).poll_next(cx) {
            // Its records are those of partitions that are not ours.
            if let Err(error) = news
                && found.failed.as_ref().is_none_or(is_passing)
            {
                found.failed = Some(error);
            }
        }
        if found.failed.is_some() || group.has_next() {
            return Poll::Ready(found);
        }
        for source in &mut *sources {
            if !source.take(cx, &mut found, max) {
                return Poll::Ready(found);
            }
        }
        match found.records.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(found),
        }
    })
    .await
}

/// Whether librdkafka goes on by itself. It says so again and again during an outage: said once, it
/// does not keep who comes late from working.
fn is_passing(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve)
    )
}

impl Source<'_> {
    /// Takes what there is; says whether there is room for more.
    fn take(&mut self, cx: &mut Context<'_>, found: &mut Found, max: usize) -> bool {
        while found.records.len() < max {
            match Pin::new(&mut self.reader).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => {
                    let records = received(&message, self.partition.clone(), self.epoch);
                    found.records.extend(records);
                }
                Poll::Ready(Some(Err(error))) => {
                    found.failed = Some(error);
                    return false;
                }
                Poll::Ready(None) | Poll::Pending => return true,
            }
        }
        false
    }
}
