//! Between messages and the columns that both databases have.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::foreign::Foreign;
use super::{Crashes, Entry, EntryId, Halted, Lease, Routing};
use crate::broker::Record;
use crate::error::Error;
use crate::message::blob;

/// The values of a stored row.
#[derive(Debug)]
pub(super) struct StoredRow {
    pub(super) id: i64,
    pub(super) topic: Option<String>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Option<Vec<u8>>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) behind: bool,
    /// What stands in place of the headers in a row that something else wrote.
    pub(super) columns: Option<String>,
}

impl StoredRow {
    /// The entry that it is. A row without a topic goes where `routing` says.
    pub(super) fn into_entry(self, backend: &'static str, routing: &Routing) -> Entry {
        let id = EntryId::new(self.id);
        let (key, payload) = (self.key.map(Bytes::from), self.payload.map(Bytes::from));
        let (record, unreadable) = match self.headers {
            Some(headers) => {
                let mut record = Record::new(self.topic.unwrap_or_default(), Bytes::new());
                (record.key, record.payload) = (key, payload);
                let headers = blob::decode(Bytes::from(headers));
                let unreadable = headers.map(|headers| record.headers = headers).err();
                (record, unreadable.map(|error| error.to_string()))
            }
            None => {
                let row = Foreign {
                    id,
                    columns: self.columns.unwrap_or_default(),
                    topic: self.topic,
                    key,
                    payload,
                    created_at: self.created_at,
                };
                row.record(backend, routing)
            }
        };
        let entry = Entry::new(id, record, self.created_at).with_behind(self.behind);
        match unreadable {
            Some(reason) => entry.with_unreadable(reason),
            None => entry,
        }
    }
}

/// In how long something is due that is due in so many seconds.
pub(super) fn due_in(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// An epoch as both databases store it.
pub(super) fn epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// A lease as both databases give it: its epoch, how many owners have ended, and the row that was in hand for
/// how many of them.
pub(super) type LeaseRow<N> = (i64, N, Option<i64>, N);

/// The lease that was given to `owner`.
pub(super) fn lease<N: Into<i64>>(owner: &str, row: LeaseRow<N>) -> Lease {
    let (epoch, count, suspect, of_suspect) = row;
    let crashes = crashes(count.into(), suspect, of_suspect.into());
    Lease::new(owner, epoch.unsigned_abs()).with_crashes(crashes)
}

/// Whether `lease` is held, by how many rows were changed that change under it alone.
///
/// # Errors
///
/// [`Lease::fenced`] when none was.
pub(super) fn held(
    changed: u64,
    lease: &Lease,
    backend: &'static str,
    operation: &'static str,
) -> Result<(), Error> {
    match changed {
        0 => Err(lease.fenced(backend, operation)),
        _ => Ok(()),
    }
}

/// Since when and why the outbox is halted, if it is.
pub(super) fn halted(since: Option<DateTime<Utc>>, reason: Option<String>) -> Option<Halted> {
    since.map(|since| Halted::new(reason.unwrap_or_default(), since))
}

fn crashes(count: i64, suspect: Option<i64>, of_suspect: i64) -> Crashes {
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
            topic: Some("t".to_owned()),
            key: Some(b"a".into()),
            headers: Some(headers.into()),
            payload: None,
            created_at: DateTime::default(),
            behind: false,
            columns: None,
        };
        let entry = |headers| row(headers).into_entry("test", &Routing::default());
        let (readable, not) = (entry(b""), entry(b"x"));
        assert_eq!(readable.unreadable, None);
        assert!(not.unreadable.is_some());
        assert_eq!(not.record, readable.record);
    }
}
