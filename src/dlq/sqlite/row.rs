use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::broker::{Position, Record, TopicPartition};
use crate::dlq::{DeadLetter, LetterId, Reason, State};
use crate::driver::sqlite::{self, BACKEND};
use crate::error::{Error, Kind};
use crate::message::Headers;

/// Writes headers as JSON: pairs of name and bytes, in order.
pub(super) fn encode_headers(headers: &Headers) -> Result<Vec<u8>, Error> {
    let pairs: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    serde_json::to_vec(&pairs)
        .map_err(|source| Error::new(Kind::Invalid, BACKEND, "put").with_source(source))
}

/// Reads a letter.
pub(super) fn decode(row: &SqliteRow, operation: &'static str) -> Result<DeadLetter, Error> {
    let corrupt = |column: &str| {
        Error::new(Kind::Corrupt, BACKEND, operation)
            .with_detail(format!("column {column} of a dead letter cannot be read"))
    };
    let error = sqlite::error(operation);
    let number = |column: &str| -> Result<u32, Error> {
        let number: i64 = row.try_get(column).map_err(&error)?;
        u32::try_from(number).map_err(|source| corrupt(column).with_source(source))
    };
    let text = |column: &str| -> Result<Arc<str>, Error> {
        let text: String = row.try_get(column).map_err(&error)?;
        Ok(text.into())
    };
    let bytes = |column: &str| -> Result<Option<Bytes>, Error> {
        let bytes: Option<Vec<u8>> = row.try_get(column).map_err(&error)?;
        Ok(bytes.map(Bytes::from))
    };
    let time = |column: &str| {
        let micros: i64 = row.try_get(column).map_err(&error)?;
        DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt(column))
    };
    let topic = text("topic")?;
    let offset: i64 = row.try_get("position").map_err(&error)?;
    let partition: Option<i64> = row.try_get("record_partition").map_err(&error)?;
    let headers: Vec<u8> = row.try_get("headers").map_err(&error)?;
    let headers: Vec<(String, Vec<u8>)> = serde_json::from_slice(&headers)
        .map_err(|source| corrupt("headers").with_source(source))?;
    let mut record = Record::new(Arc::clone(&topic), Bytes::new());
    record.partition = partition
        .map(u32::try_from)
        .transpose()
        .map_err(|source| corrupt("record_partition").with_source(source))?;
    record.key = bytes("record_key")?;
    record.headers = headers.into_iter().collect();
    record.payload = bytes("payload")?;
    let position = Position::new(
        TopicPartition::new(topic, number("partition")?),
        offset.cast_unsigned(),
    );
    let reason = Reason::new(text("kind")?, &text("message")?);
    let first = time("first_failed_at")?;
    let mut letter = DeadLetter::new(text("consumer_group")?, position, record, reason, first);
    let id: Uuid = row.try_get("id").map_err(&error)?;
    letter.id = LetterId::from(id);
    letter.failures = number("failures")?;
    letter.last_failed_at = time("last_failed_at")?;
    letter.redrives = number("redrives")?;
    letter.state = match &*text("state")? {
        "discarded" => State::Discarded,
        "open" => State::Open,
        "redriven" => State::Redriven,
        "redriving" => State::Redriving,
        _ => return Err(corrupt("state")),
    };
    Ok(letter)
}
