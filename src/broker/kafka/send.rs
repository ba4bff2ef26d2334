use std::sync::Arc;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::future_producer::{DeliveryFuture, OwnedDeliveryResult};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::error::{BACKEND, publish};
use crate::broker::{Appended, Position, PublishError, Record, TopicPartition};
use crate::error::{Error, Kind};

/// Hands a record to librdkafka, which answers later; `None` when its queue is full.
pub(super) fn send<C: ClientContext>(
    producer: &FutureProducer<C>,
    record: &Record,
) -> Option<Result<DeliveryFuture, KafkaError>> {
    let mut message: FutureRecord<'_, [u8], [u8]> =
        FutureRecord::to(&record.topic).headers(headers(record));
    if let Some(key) = &record.key {
        message = message.key(key);
    }
    if let Some(payload) = &record.payload {
        message = message.payload(payload);
    }
    // Admitted, so it is one of the topic's. Where no partition is asked for, librdkafka chooses: it
    // hears first of new ones.
    if let Some(partition) = record.partition.and_then(|p| i32::try_from(p).ok()) {
        message = message.partition(partition);
    }
    match producer.send_result(message) {
        Ok(answer) => Some(Ok(answer)),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => None,
        Err((error, _)) => Some(Err(error)),
    }
}

/// What librdkafka answered. An answer that never comes is that of a producer that has ended.
pub(super) fn answered<E>(
    answer: Result<OwnedDeliveryResult, E>,
) -> Result<(i32, i64), KafkaError> {
    let canceled = KafkaError::MessageProduction(RDKafkaErrorCode::BrokerDestroy);
    match answer.map_err(|_canceled| canceled)? {
        Ok(delivered) => Ok((delivered.partition, delivered.offset)),
        Err((error, _)) => Err(error),
    }
}

/// What `answer` says of `record`.
pub(super) fn acknowledged(
    record: &Record,
    answer: Result<(i32, i64), KafkaError>,
) -> Result<Appended, PublishError> {
    let (partition, offset) = answer.map_err(publish)?;
    let number = u32::try_from(partition).unwrap_or_default();
    let partition = TopicPartition::new(Arc::clone(&record.topic), number);
    // Below zero for a record that the broker recognised as one that it had already.
    Ok(match u64::try_from(offset) {
        Ok(offset) => Appended::at(Position::new(partition, offset)),
        Err(_unknown) => Appended::within(partition),
    })
}

/// A record that was not sent, for a reason that it shares with others.
pub(super) fn refused(reason: &Arc<Error>) -> PublishError {
    let error = Error::new(reason.kind(), BACKEND, "publish");
    PublishError::not_sent(error.with_source(Arc::clone(reason)))
}

/// There was no answer in time.
pub(super) fn late() -> Error {
    Error::new(Kind::Timeout, BACKEND, "publish").with_detail("not acknowledged in time")
}

fn headers(record: &Record) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(headers, |headers, (name, value)| {
            headers.insert(Header {
                key: name,
                value: Some(&**value),
            })
        })
}
