//! Between messages and the columns that both databases have.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Crashes, Entry, EntryId, Routing};
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
    pub(super) behind: bool,
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

impl From<StoredRow> for Entry {
    fn from(row: StoredRow) -> Self {
        let mut record = Record::new(row.topic, Bytes::new());
        record.payload = row.payload.map(Bytes::from);
        record.key = row.key.map(Bytes::from);
        let headers = blob::decode(Bytes::from(row.headers));
        let unreadable = headers.map(|headers| record.headers = headers).err();
        let entry = Self::new(EntryId::new(row.id), record, row.created_at).with_behind(row.behind);
        match unreadable {
            Some(error) => entry.with_unreadable(error.to_string()),
            None => entry,
        }
    }
}

/// An epoch as both databases store it.
pub(super) fn epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// What both databases note of owners that have ended.
pub(super) fn crashes(count: i64, suspect: Option<i64>, of_suspect: i64) -> Crashes {
    let times = |count| u32::try_from(count).unwrap_or_default();
    let of_suspect = times(of_suspect);
    let suspect = suspect.filter(|_| of_suspect > 0);
    let suspect = suspect.map(|row| (EntryId::new(row), of_suspect));
    Crashes::new(times(count), suspect)
}

/// How many rows to ask for.
pub(super) fn rows(limit: NonZeroUsize) -> i64 {
    i64::try_from(limit.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_whose_headers_cannot_be_read_says_so() {
        let row = |headers: &[u8]| StoredRow {
            id: 1,
            topic: "t".to_owned(),
            key: Some(b"a".into()),
            headers: headers.into(),
            payload: None,
            created_at: DateTime::default(),
            behind: true,
        };
        let (readable, not) = (Entry::from(row(b"")), Entry::from(row(b"x")));
        assert_eq!(readable.unreadable, None);
        assert!(not.unreadable.is_some() && not.behind);
        assert_eq!(not.record, readable.record);
    }
}
