//! Between messages and the columns that both databases have.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Entry, EntryId, Routing};
use crate::broker::Record;
use crate::error::Error;
use crate::message::{Message, blob};

/// The values of a new row.
#[derive(Debug)]
pub(super) struct NewRow<'a> {
    pub(super) event_id: &'a str,
    pub(super) aggregate_type: &'a str,
    pub(super) aggregate_id: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) topic: Arc<str>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) headers: Bytes,
    pub(super) payload: &'a [u8],
}

/// The values of a stored row.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) id: i64,
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) attempts: i64,
}

impl<'a> NewRow<'a> {
    pub(super) fn new(
        backend: &'static str,
        routing: &Routing,
        message: &'a Message,
    ) -> Result<Self, Error> {
        let topic = routing.topic(backend, message)?;
        let record = Record::from_message(Arc::clone(&topic), message);
        Ok(Self {
            event_id: message.id().as_str(),
            // What Debezium's event router calls the aggregate: its type is the type's first word.
            aggregate_type: message.kind().split('.').next().unwrap_or_default(),
            aggregate_id: message.subject().or_else(|| {
                message
                    .key()
                    .and_then(|key| std::str::from_utf8(key.as_bytes()).ok())
            }),
            kind: message.kind(),
            topic,
            key: message.key().map(|key| &**key.as_bytes()),
            headers: blob::encode(&record.headers)?,
            payload: message.payload(),
        })
    }
}

impl StoredRow {
    /// The entry, and whether its headers could be read; without headers it is only good for
    /// parking.
    pub(super) fn into_entry(self) -> (Entry, Result<(), Error>) {
        let mut record = Record::new(self.topic, self.payload);
        record.key = self.key.map(Bytes::from);
        let readable =
            blob::decode(Bytes::from(self.headers)).map(|headers| record.headers = headers);
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        let entry =
            Entry::new(EntryId::new(self.id), record, self.created_at).with_attempts(attempts);
        (entry, readable)
    }
}
