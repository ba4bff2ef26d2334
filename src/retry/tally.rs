use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::exhausted::Exhausted;

/// What a retry has done, for an operations page. Calls that succeed at once are not counted: that would
/// be a cost for each of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The retry's name.
    pub name: Arc<str>,
    /// How many calls were tried again.
    pub retried: u64,
    /// How many attempts were made after a first one.
    pub retries: u64,
    /// How many calls ended with a failure that could have been tried again: for want of attempts, of time,
    /// of a budget, or of a service that gets ready.
    pub given_up: u64,
    /// How many of these for want of a budget.
    pub refused: u64,
}

/// The counters that all calls of a retry share, on cache lines that no call needs which succeeds at once.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    retried: AtomicU64,
    retries: AtomicU64,
    given_up: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    pub(super) fn retry(&self, is_first: bool) {
        if is_first {
            self.retried.fetch_add(1, Ordering::Relaxed);
        }
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn give_up(&self, why: Exhausted) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
        if why == Exhausted::Budget {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn snapshot(&self, name: &Arc<str>) -> Snapshot {
        Snapshot {
            name: Arc::clone(name),
            retried: self.retried.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}
