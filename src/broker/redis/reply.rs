//! Reads what the server answers.

use std::sync::Arc;

use ::redis::Value;
use bytes::Bytes;
use chrono::DateTime;

use super::keys;
use crate::broker::holdings::Cursor;
use crate::broker::{Position, Received, Record};
use crate::message::{Headers, blob};

/// The streams of an answer to `XREAD`: their names and entries. Either protocol's, and nothing at all
/// when the time has passed.
pub(super) fn streams(reply: Value) -> Vec<(Vec<u8>, Vec<Value>)> {
    let pairs: Vec<(Value, Value)> = match reply {
        Value::Map(pairs) => pairs,
        Value::Array(streams) => streams.into_iter().filter_map(pair).collect(),
        _ => return Vec::new(),
    };
    pairs
        .into_iter()
        .filter_map(|(name, entries)| match (name, entries) {
            (Value::BulkString(name), Value::Array(entries)) => Some((name, entries)),
            _ => None,
        })
        .collect()
}

/// An entry of the log that `cursor` reads; `None` for one that is not ours.
pub(super) fn received(entry: Value, cursor: &Cursor) -> Option<Received> {
    let (Value::BulkString(id), Value::Array(fields)) = pair(entry)? else {
        return None;
    };
    let offset = keys::offset(&id)?;
    let partition = cursor.partition.clone();
    let mut record = Record {
        topic: Arc::clone(&partition.topic),
        partition: Some(partition.partition),
        key: None,
        headers: Headers::new(),
        payload: None,
    };
    let mut at = None;
    let mut fields = fields.into_iter();
    while let (Some(Value::BulkString(name)), Some(Value::BulkString(value))) =
        (fields.next(), fields.next())
    {
        match &*name {
            b"t" => at = timestamp(&value),
            b"k" => record.key = Some(value.into()),
            b"p" => record.payload = Some(value.into()),
            b"h" => record.headers = headers(value.into(), &partition, offset),
            _ => {}
        }
    }
    let received = Received::new(record, Position::new(partition, offset), cursor.epoch);
    Some(match at {
        Some(at) => received.with_timestamp(at),
        None => received,
    })
}

fn pair(value: Value) -> Option<(Value, Value)> {
    let Value::Array(values) = value else {
        return None;
    };
    let mut values = values.into_iter();
    Some((values.next()?, values.next()?))
}

fn timestamp(millis: &[u8]) -> Option<DateTime<chrono::Utc>> {
    let millis = std::str::from_utf8(millis).ok()?.parse().ok()?;
    DateTime::from_timestamp_millis(millis)
}

/// Without headers a record can only be kept as a dead letter; it must not end the consumer.
fn headers(blob: Bytes, partition: &crate::broker::TopicPartition, offset: u64) -> Headers {
    blob::decode(blob).unwrap_or_else(|error| {
        tracing::warn!(%partition, offset, %error, "the headers of a record cannot be read");
        Headers::new()
    })
}
