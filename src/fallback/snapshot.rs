use std::sync::Arc;

use serde::Serialize;

/// A fallback at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The fallback's name.
    pub name: Arc<str>,
    /// How many calls were answered by the substitute, or are waiting for it.
    pub used: u64,
    /// How many of them got an error from it.
    pub failed: u64,
}
