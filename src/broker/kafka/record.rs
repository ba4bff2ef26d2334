use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::broker::{Position, Received, Record, TopicPartition, UNREADABLE_HEADERS};
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

/// The headers. At a name that is not UTF-8 the driver panics: those are counted, and the others kept.
fn headers(message: &BorrowedMessage<'_>) -> Headers {
    let Some(headers) = message.headers() else {
        return Headers::new();
    };
    let value = |value: Option<_>| value.unwrap_or_default();
    let all = || Headers::copied(headers.iter().map(|one| (one.key, value(one.value))));
    catch_unwind(AssertUnwindSafe(all)).unwrap_or_else(|_panic| {
        let read = |index| catch_unwind(AssertUnwindSafe(|| headers.get(index))).ok();
        let readable: Vec<_> = (0..headers.count()).filter_map(read).collect();
        let count = headers.count() - readable.len();
        let (topic, offset) = (message.topic(), message.offset());
        tracing::warn!(topic, offset, count, "header names are not UTF-8");
        let mut headers = Headers::copied(readable.iter().map(|one| (one.key, value(one.value))));
        headers.push(UNREADABLE_HEADERS, count.to_string());
        headers
    })
}
