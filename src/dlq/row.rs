//! Between letters and the columns that both databases have.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{DeadLetter, LetterId, Reason, State};
use crate::broker::{Position, Record, TopicPartition};
use crate::error::{Error, Kind};
use crate::message::blob;

/// A letter's columns as they are stored.
#[derive(Debug)]
pub(super) struct StoredLetter {
    pub(super) id: Uuid,
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) partition: i64,
    pub(super) position: i64,
    pub(super) record_partition: Option<i64>,
    pub(super) record_key: Option<Vec<u8>>,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) kind: String,
    pub(super) message: String,
    pub(super) failures: i64,
    pub(super) first_failed_at: i64,
    pub(super) last_failed_at: i64,
    pub(super) state: String,
    pub(super) redrives: i64,
}

impl StoredLetter {
    /// The letter, or which column cannot be read.
    pub(super) fn into_letter(
        self,
        backend: &'static str,
        operation: &'static str,
    ) -> Result<DeadLetter, Error> {
        let corrupt = |column: &'static str| {
            move || {
                Error::new(Kind::Corrupt, backend, operation)
                    .with_detail(format!("column {column} of a dead letter cannot be read"))
            }
        };
        let number = |value: i64, column| u32::try_from(value).ok().ok_or_else(corrupt(column));
        let topic: Arc<str> = self.topic.into();
        let mut record = Record::new(Arc::clone(&topic), Bytes::new());
        record.partition = self
            .record_partition
            .map(|partition| number(partition, "record_partition"))
            .transpose()?;
        record.key = self.record_key.map(Bytes::from);
        record.payload = self.payload.map(Bytes::from);
        record.headers = blob::decode(Bytes::from(self.headers))
            .map_err(|source| corrupt("headers")().with_source(source))?;
        let partition = TopicPartition::new(topic, number(self.partition, "partition")?);
        let position = Position::new(partition, self.position.cast_unsigned());
        let reason = Reason::new(self.kind, &self.message);
        let first = time(self.first_failed_at).ok_or_else(corrupt("first_failed_at"))?;
        let mut letter = DeadLetter::new(self.group, position, record, reason, first);
        letter.id = LetterId::from(self.id);
        letter.failures = number(self.failures, "failures")?;
        letter.last_failed_at = time(self.last_failed_at).ok_or_else(corrupt("last_failed_at"))?;
        letter.redrives = number(self.redrives, "redrives")?;
        letter.state = State::parse(&self.state).ok_or_else(corrupt("state"))?;
        Ok(letter)
    }
}

fn time(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
}
