//! Between messages and the columns that both databases have.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Entry, EntryId, Routing, Window};
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
    pub(super) payload: Option<Bytes>,
}

/// The values of a stored row.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) id: i64,
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Option<Vec<u8>>,
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
        let record = Record::from_message(Arc::clone(&topic), message)?;
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
            payload: record.payload,
        })
    }
}

impl StoredRow {
    /// The entry, and whether its headers could be read; without headers it is only good for
    /// parking.
    pub(super) fn into_entry(self) -> (Entry, Result<(), Error>) {
        let mut record = Record::new(self.topic, Bytes::new());
        record.payload = self.payload.map(Bytes::from);
        record.key = self.key.map(Bytes::from);
        let readable =
            blob::decode(Bytes::from(self.headers)).map(|headers| record.headers = headers);
        let attempts = u32::try_from(self.attempts).unwrap_or(u32::MAX);
        let entry =
            Entry::new(EntryId::new(self.id), record, self.created_at).with_attempts(attempts);
        (entry, readable)
    }
}

/// The rows that can be published, in order, and those that cannot be read, with the reason. A row
/// that cannot be read holds back the later ones of its key.
pub(super) fn split(rows: Vec<StoredRow>) -> (Window, Vec<(EntryId, String)>) {
    let mut window = Window::default();
    let mut unreadable = Vec::new();
    let mut held = HashSet::new();
    let mut rows: Vec<_> = rows.into_iter().map(StoredRow::into_entry).collect();
    // RETURNING promises no order.
    rows.sort_by_key(|(entry, _)| entry.id);
    for (entry, readable) in rows {
        let key = entry.ordering_key();
        if key.as_ref().is_some_and(|key| held.contains(key)) {
            continue;
        }
        match readable {
            Ok(()) => window.entries.push(entry),
            Err(error) => {
                unreadable.push((entry.id, error.to_string()));
                held.extend(key);
            }
        }
    }
    (window, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, key: &str, headers: &[u8]) -> StoredRow {
        StoredRow {
            id,
            topic: "t".to_owned(),
            key: Some(key.into()),
            headers: headers.into(),
            payload: None,
            created_at: DateTime::default(),
            attempts: 0,
        }
    }

    #[test]
    fn an_unreadable_row_holds_its_key_and_no_other() {
        let rows = vec![
            row(3, "a", b""),
            row(1, "a", b""),
            row(2, "a", b"x"),
            row(4, "b", b""),
        ];
        let (window, unreadable) = split(rows);
        let ids: Vec<_> = window
            .entries
            .iter()
            .map(|entry| entry.id.value())
            .collect();
        assert_eq!(ids, [1, 4]);
        assert_eq!(unreadable.len(), 1);
        assert_eq!(unreadable[0].0.value(), 2);
    }
}
