use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::broker::Record;

/// One row of an outbox, ready to be published.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// Its place in the order of the outbox.
    pub id: EntryId,
    /// What to publish; its topic is already decided.
    pub record: Record,
    /// When the row was written.
    pub created_at: DateTime<Utc>,
    /// How often it was read to be published, by any relay; this time is counted.
    pub attempts: u32,
}

/// The place of an entry in the order of its outbox; grows, may skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(i64);

impl Entry {
    /// Row `id` holding `record`, written at `created_at`.
    #[must_use]
    pub fn new(id: EntryId, record: Record, created_at: DateTime<Utc>) -> Self {
        Self {
            id,
            record,
            created_at,
            attempts: 0,
        }
    }

    /// Sets how often it was read.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// What entries must share to keep their order: topic and key. `None` when the entry has no key
    /// and so no order.
    #[must_use]
    pub fn ordering_key(&self) -> Option<(Arc<str>, bytes::Bytes)> {
        Some((Arc::clone(&self.record.topic), self.record.key.clone()?))
    }
}

impl EntryId {
    /// The id with number `id`.
    #[must_use]
    pub const fn new(id: i64) -> Self {
        Self(id)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
