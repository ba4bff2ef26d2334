use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::State;
use crate::classify::Failure;

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of failures in the window.
    FailureRate,
    /// Somebody opened it by hand.
    Forced,
    /// Too few probes succeeded.
    Probes,
    /// Too large a share of slow calls in the window.
    SlowCallRate,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why it opened, while it is not closed again.
    pub reason: Option<Reason>,
}

/// A breaker at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The breaker's name.
    pub name: Arc<str>,
    /// Its state.
    pub state: State,
    /// Calls in the window.
    pub calls: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow ones among them; 0 when calls are not timed.
    pub slow_calls: u32,
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Why it opened last; `None` while it is closed.
    pub reason: Option<Reason>,
    /// How the latest failure failed.
    #[serde(skip)]
    pub last_failure: Option<Failure>,
    /// How long until it lets a probe through; `None` unless it is open, and when it was opened by
    /// hand.
    pub retry_after: Option<Duration>,
    /// How often it has opened.
    pub opened: u64,
    /// How many calls it has rejected.
    pub rejected: u64,
    /// How many outcomes came after a change of state and counted nowhere.
    pub stale: u64,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 5] = [
        Self::ConsecutiveFailures,
        Self::FailureRate,
        Self::Forced,
        Self::Probes,
        Self::SlowCallRate,
    ];

    /// The reason in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive failures",
            Self::FailureRate => "failure rate",
            Self::Forced => "forced",
            Self::Probes => "probes failed",
            Self::SlowCallRate => "slow-call rate",
        }
    }
}

impl Snapshot {
    /// The share of failures in the window; 0 when it is empty.
    #[must_use]
    pub fn failure_rate(&self) -> f64 {
        share(self.failures, self.calls)
    }

    /// The share of slow calls in the window; 0 when it is empty.
    #[must_use]
    pub fn slow_call_rate(&self) -> f64 {
        share(self.slow_calls, self.calls)
    }
}

fn share(part: u32, all: u32) -> f64 {
    f64::from(part) / f64::from(all.max(1))
}
