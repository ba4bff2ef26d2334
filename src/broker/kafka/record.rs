use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::broker::{Position, Received, Record, TopicPartition};
use crate::message::Headers;

/// `message` as a record of `partition`, read in `epoch`.
pub(super) fn received(
    message: &BorrowedMessage<'_>,
    partition: TopicPartition,
    epoch: u64,
) -> Option<Received> {
    let mut record = Record::new(Arc::clone(&partition.topic), Bytes::new());
    record.partition = Some(partition.partition);
    record.key = message.key().map(Bytes::copy_from_slice);
    record.payload = message.payload().map(Bytes::copy_from_slice);
    record.headers = headers(message);
    let position = Position::new(partition, u64::try_from(message.offset()).ok()?);
    let received = Received::new(record, position, epoch);
    let stamped = message
        .timestamp()
        .to_millis()
        .and_then(DateTime::from_timestamp_millis);
    Some(match stamped {
        Some(stamped) => received.with_timestamp(stamped),
        None => received,
    })
}

/// The headers; none when a name is not UTF-8, at which the driver panics. Such a record can only be
/// kept as a dead letter, and must not end the consumer.
fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let read = || read_headers(message);
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| {
        let (topic, offset) = (message.topic(), message.offset());
        tracing::warn!(topic, offset, "the headers of a record cannot be read");
        Headers::new()
    })
}

fn read_headers(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else {
        return Headers::new();
    };
    let headers = headers.iter();
    Headers::copied(headers.map(|header| (header.key, header.value.unwrap_or_default())))
}
