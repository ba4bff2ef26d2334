//! One record of a key at a time, each in a request of its own.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::producer::FutureProducer;
use rdkafka::producer::future_producer::DeliveryFuture;
use tokio::time::{Instant, sleep};

use super::Config;
use super::batch::Batch;
use super::context::{Context, Reports};
use super::error::{error, publish};
use super::producer;
use super::send::{acknowledged, answered, late, send};
use crate::broker::PublishError;
use crate::error::Error;

/// How long a full queue is given to drain before it is tried again.
const QUEUE_FULL: Duration = Duration::from_millis(5);

/// A producer whose requests have one record each, so that a broker that refuses one refuses no other.
pub(super) fn connect(
    settings: &Config,
    reports: &Arc<Reports>,
) -> Result<FutureProducer<Context>, Error> {
    let mut client = settings.finish(producer::config(settings));
    // After what the user asked for: this one is what the producer is for.
    client
        .set("batch.num.messages", "1")
        .create_with_context(Context(Arc::clone(reports)))
        .map_err(error("configure"))
}

/// Sends `left`: the next record of a key when the one before it was acknowledged. So no failure, of
/// whatever kind, can let a later record of a key pass an earlier one. Nothing is sent after `deadline`.
pub(super) async fn send_all(
    producer: &FutureProducer<Context>,
    batch: &mut Batch,
    mut left: Vec<usize>,
    deadline: Instant,
) {
    while !left.is_empty() {
        if Instant::now() >= deadline {
            batch.refuse(left, &Arc::new(late()));
            return;
        }
        let mut keys = HashSet::new();
        let mut sent = Vec::new();
        let (wave, rest) = left.into_iter().partition::<Vec<_>, _>(|index| {
            let record = &batch.records[*index];
            let key = record.key.as_ref();
            key.is_none_or(|key| keys.insert((Arc::clone(&record.topic), key.clone())))
        });
        for index in wave {
            if batch.admit(index).is_none() {
                continue;
            }
            if let Some(answer) = begin(producer, batch, index, deadline).await {
                sent.push((index, answer));
            }
        }
        for (index, answer) in sent {
            let answer = answered(answer.await);
            batch.end(index, acknowledged(&batch.records[index], answer));
        }
        left = rest;
    }
}

/// Hands a record to librdkafka; it has its result if that fails.
async fn begin(
    producer: &FutureProducer<Context>,
    batch: &mut Batch,
    index: usize,
    deadline: Instant,
) -> Option<DeliveryFuture> {
    loop {
        match send(producer, &batch.records[index]) {
            Some(Ok(answer)) => return Some(answer),
            Some(Err(failed)) => {
                batch.end(index, Err(publish(failed)));
                return None;
            }
            None if Instant::now() >= deadline => {
                batch.end(index, Err(PublishError::not_sent(late())));
                return None;
            }
            None => sleep(QUEUE_FULL).await,
        }
    }
}
