use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use sqlx::SqlitePool;

use super::append::{offset, place};
use super::queries;
use crate::broker::admission::unknown_topic;
use crate::broker::holdings::Cursor;
use crate::broker::{Position, Received, Record, TopicPartition};
use crate::driver::sqlite::{self, BACKEND};
use crate::error::Error;
use crate::message::{Headers, blob};

/// How far each partition goes.
pub(super) type Ends = HashMap<TopicPartition, End>;

/// The end of a partition.
pub(super) struct End {
    /// The partition's row.
    pub(super) id: i64,
    /// The offset of the next record.
    pub(super) offset: u64,
}

/// The revision of `group`, and the ends of the partitions of `topics`, a JSON list.
pub(super) async fn look(
    pool: &SqlitePool,
    group: &str,
    topics: &str,
    operation: &'static str,
) -> Result<(u64, Ends), Error> {
    let rows: Vec<(Option<String>, u32, i64, i64)> = sqlx::query_as(queries::LOOK)
        .bind(group)
        .bind(topics)
        .fetch_all(pool)
        .await
        .map_err(sqlite::error(operation))?;
    let mut revision = 0;
    let mut ends = HashMap::new();
    for (topic, partition, id, value) in rows {
        let value = value.cast_unsigned();
        match topic {
            None => revision = value,
            Some(topic) => {
                let partition = TopicPartition::new(topic, partition);
                ends.insert(partition, End { id, offset: value });
            }
        }
    }
    Ok((revision, ends))
}

/// At most `max` records from `cursor` on; `id` is the row of its partition.
pub(super) async fn fetch(
    pool: &SqlitePool,
    cursor: &Cursor,
    id: i64,
    max: usize,
) -> Result<Vec<Received>, Error> {
    let rows: Vec<Row> = sqlx::query_as(queries::READ)
        .bind(place(id, cursor.next))
        .bind(place(id + 1, 0))
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(sqlite::error("poll"))?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| received(row, cursor)).collect())
}

/// The partition counts of `topics`.
pub(super) async fn counts(
    pool: &SqlitePool,
    topics: &[Arc<str>],
    operation: &'static str,
) -> Result<BTreeMap<Arc<str>, u32>, Error> {
    let mut counts = BTreeMap::new();
    for topic in topics {
        let count: Option<u32> = sqlx::query_scalar(queries::TOPIC)
            .bind(&**topic)
            .fetch_optional(pool)
            .await
            .map_err(sqlite::error(operation))?;
        let count = count.ok_or_else(|| unknown_topic(BACKEND, operation, topic))?;
        counts.insert(Arc::clone(topic), count);
    }
    Ok(counts)
}

/// Place, key, headers, payload and time.
type Row = (i64, Option<Vec<u8>>, Vec<u8>, Option<Vec<u8>>, i64);

fn received(row: Row, cursor: &Cursor) -> Received {
    let (place, key, headers, payload, appended_at) = row;
    let partition = cursor.partition.clone();
    // Without headers it can only be kept as a dead letter; it must not end the consumer.
    let headers = blob::decode(headers.into()).unwrap_or_else(|error| {
        tracing::warn!(%partition, offset = place, %error, "the headers of a record cannot be read");
        Headers::new()
    });
    let record = Record {
        topic: Arc::clone(&partition.topic),
        partition: Some(partition.partition),
        key: key.map(Bytes::from),
        headers,
        payload: payload.map(Bytes::from),
    };
    let position = Position::new(partition, offset(place));
    let received = Received::new(record, position, cursor.epoch);
    match DateTime::from_timestamp_millis(appended_at) {
        Some(at) => received.with_timestamp(at),
        None => received,
    }
}
