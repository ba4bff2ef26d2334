use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Rate;

/// A rate limiter at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The limiter's name.
    pub name: Arc<str>,
    /// How many permits there are in the long run.
    pub rate: Rate,
    /// How many there are at once, at most.
    pub burst: u32,
    /// How many are there now.
    pub available: u32,
    /// How long until there is one; zero when there is. While calls wait it is the time until the one
    /// after theirs.
    pub next_in: Duration,
    /// How long until the burst is full; zero when it is.
    pub full_in: Duration,
    /// How many calls were rejected.
    pub rejected: u64,
}
