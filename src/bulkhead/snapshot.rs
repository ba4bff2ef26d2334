use std::sync::Arc;

use serde::Serialize;

/// A bulkhead at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The bulkhead's name.
    pub name: Arc<str>,
    /// How many calls may run at once.
    pub limit: u32,
    /// How many are running: more than the limit after it was lowered under them.
    pub running: u32,
    /// How many wait for a place.
    pub queued: usize,
    /// How many calls were rejected at once.
    pub rejected: u64,
    /// How many calls have waited in vain.
    pub timed_out: u64,
}
