//! Between messages and the columns that both databases have.

use std::num::NonZeroUsize;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Entry, EntryId};
use crate::broker::Record;
use crate::message::blob;

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
