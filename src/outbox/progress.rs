use std::sync::Arc;

use super::Position;

/// How far the log of an outbox is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What tells this outbox from every other one, wherever it is kept. A copy of a database is the same
    /// outbox.
    pub outbox: Arc<str>,
    /// Up to where it is settled.
    pub position: Position,
    /// The epoch of the lease under which it was moved there; 0 when it never was.
    pub epoch: u64,
}

impl Progress {
    /// The log of `outbox` is settled up to `position`, since the lease in `epoch`.
    #[must_use]
    pub fn new(outbox: impl Into<Arc<str>>, position: Position, epoch: u64) -> Self {
        Self {
            outbox: outbox.into(),
            position,
            epoch,
        }
    }
}
