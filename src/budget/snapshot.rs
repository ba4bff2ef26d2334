use std::sync::Arc;

use serde::Serialize;

/// A budget at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The budget's name.
    pub name: Arc<str>,
    /// How many retries it would grant now, the floor included; the fraction is on its way to the next.
    pub balance: f64,
    /// How many retries it has granted.
    pub withdrawn: u64,
    /// How many it has refused.
    pub refused: u64,
}
