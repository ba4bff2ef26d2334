use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::broker::Record;
use crate::message::MessageId;

/// What is due later, in memory, in the order of due time, then of writing.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    rows: BTreeMap<Place, Scheduled>,
    written: u64,
}

pub(super) type Place = (DateTime<Utc>, u64);

/// A message that is due later.
#[derive(Debug)]
pub(super) struct Scheduled {
    pub(super) id: MessageId,
    pub(super) record: Record,
    /// `at`, by a clock that does not jump.
    pub(super) due: Instant,
}

impl Schedule {
    pub(super) fn put(&mut self, at: DateTime<Utc>, row: Scheduled) {
        self.written += 1;
        self.put_back((at, self.written), row);
    }

    pub(super) fn put_back(&mut self, place: Place, row: Scheduled) {
        self.rows.insert(place, row);
    }

    /// Takes out the messages `id`.
    pub(super) fn take(&mut self, id: &MessageId) -> Vec<(Place, Scheduled)> {
        let is_taken = |_: &Place, row: &mut Scheduled| row.id == *id;
        self.rows.extract_if(.., is_taken).collect()
    }

    /// Takes out what is due, at most `limit` rows.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> Vec<Record> {
        let mut due = Vec::new();
        while due.len() < limit {
            let first = self.rows.first_entry();
            let Some(first) = first.filter(|row| row.get().due <= now) else {
                break;
            };
            due.push(first.remove().record);
        }
        due
    }

    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.rows.values().next().map(|row| row.due)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }
}
