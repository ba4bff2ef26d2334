use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// An adaptive limit at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The limit's name.
    pub name: Arc<str>,
    /// How many calls may run now.
    pub limit: u32,
    /// How many are running: more than the limit after it fell under them.
    pub running: u32,
    /// How long calls take when they do not stand in a queue, if that is known.
    pub baseline: Option<Duration>,
    /// Whether the limit is lowered for a moment to measure that.
    pub measuring: bool,
    /// How many calls were rejected.
    pub rejected: u64,
    /// How often the limit was cut because calls were dropped.
    pub cuts: u64,
}
