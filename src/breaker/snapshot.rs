use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "the three states of the pattern")]
pub enum State {
    /// Calls pass.
    Closed,
    /// A few calls pass as probes.
    HalfOpen,
    /// Calls are rejected.
    Open,
}

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
    /// A probe failed.
    ProbeFailed,
}

/// A breaker at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Why it opened last; `None` while it is closed.
    pub reason: Option<Reason>,
    /// How long until it lets a probe through; `None` unless it is open, and when it was opened by
    /// hand.
    pub retry_after: Option<Duration>,
    /// How often it has opened.
    pub opened: u64,
    /// How many calls it has rejected.
    pub rejected: u64,
}

impl State {
    /// The state in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

impl Reason {
    /// The reason in a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive failures",
            Self::FailureRate => "failure rate",
            Self::Forced => "forced",
            Self::ProbeFailed => "probe failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
