use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// What is done to one call; nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
#[must_use = "an injection that nobody makes has still been counted"]
pub struct Injection {
    /// How long the call has to wait.
    pub latency: Option<Duration>,
    /// Whether the call fails.
    pub error: bool,
}

/// A chaos at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name.
    pub name: Arc<str>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// How many calls it has decided about.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How many of them were late.
    pub delays: u64,
}
