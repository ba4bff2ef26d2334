use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
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
    /// Whether an earlier row of its key was set aside, so that it has to follow it there.
    pub behind: bool,
    /// Whether it was parked without its key, and so has no order any more.
    pub alone: bool,
    /// Why it cannot be published at all, if it cannot even be read; its record is what could be made
    /// of it.
    pub unreadable: Option<String>,
}

/// Topic and key.
pub type OrderingKey = (Arc<str>, Bytes);

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
            behind: false,
            alone: false,
            unreadable: None,
        }
    }

    /// Says that an earlier row of its key was set aside.
    #[must_use]
    pub fn with_behind(mut self, behind: bool) -> Self {
        self.behind = behind;
        self
    }

    /// Says that it was parked without its key.
    #[must_use]
    pub fn with_alone(mut self, alone: bool) -> Self {
        self.alone = alone;
        self
    }

    /// Says why it cannot be read.
    #[must_use]
    pub fn with_unreadable(mut self, reason: impl Into<String>) -> Self {
        self.unreadable = Some(reason.into());
        self
    }

    /// What entries must share to keep their order: topic and key. `None` when the entry has no key, or
    /// was parked without it, and so has no order.
    #[must_use]
    pub fn ordering_key(&self) -> Option<OrderingKey> {
        if self.alone {
            return None;
        }
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
