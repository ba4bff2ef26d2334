use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Importance;

/// The state of a process at one time; it never holds an error's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// All in one word.
    pub status: Status,
    /// Where the process is in its life.
    pub phase: Phase,
    /// Every check, in the order in which they were added.
    pub checks: Vec<CheckReport>,
}

/// The state of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Its name.
    pub name: Arc<str>,
    /// What it means when it is down.
    pub importance: Importance,
    /// Whether the dependency works.
    pub up: bool,
    /// Why the last result was not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The age of the last result, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
}

/// A process in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Everything works.
    Up,
    /// It works, but a check that is not critical is down.
    Degraded,
    /// It should get no work: it starts, it ends, or a critical check is down.
    Down,
}

/// Where a process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Not every critical check has been up yet.
    Starting,
    /// It works.
    Running,
    /// It finishes what it has.
    Draining,
}

/// Why a check is not up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// It returned an error, which is in the log.
    Failed,
    /// It panicked.
    Panicked,
    /// It has not run yet.
    Pending,
    /// Its last result is too old: nobody is checking.
    Stale,
    /// It did not answer in time.
    TimedOut,
}

impl Report {
    pub(super) fn new(phase: Phase, checks: Vec<CheckReport>) -> Self {
        let is_down = |importance| {
            let mut checks = checks.iter();
            checks.any(|check| !check.up && check.importance == importance)
        };
        let status = if phase != Phase::Running || is_down(Importance::Critical) {
            Status::Down
        } else if is_down(Importance::Degraded) {
            Status::Degraded
        } else {
            Status::Up
        };
        Self {
            status,
            phase,
            checks,
        }
    }

    /// Whether the process should get work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status != Status::Down
    }
}
