use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// A hedge at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The hedge's name.
    pub name: Arc<str>,
    /// How long it waits for an attempt now before the next one begins.
    pub delay: Duration,
    /// How many of the latest calls the delay is taken from; 0 when it is fixed.
    pub calls: u32,
    /// How many further attempts it has begun.
    pub started: u64,
    /// How many calls a further attempt has won.
    pub won: u64,
    /// How many further attempts the budget has refused.
    pub refused: u64,
}
