use std::fmt;

use serde::Serialize;

/// The state of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::exhaustive_enums, reason = "what a breaker can be")]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// All calls pass and nothing is recorded, until somebody [resets](crate::breaker::Breaker::reset) it.
    Disabled,
    /// Calls are rejected until somebody [resets](crate::breaker::Breaker::reset) it.
    ForcedOpen,
    /// A few calls pass as probes.
    HalfOpen,
    /// All calls pass and are recorded; it never opens, until somebody
    /// [resets](crate::breaker::Breaker::reset) it.
    MetricsOnly,
    /// Calls are rejected.
    Open,
    /// The probes have succeeded; a growing share of the calls passes.
    RampingUp,
}

impl CircuitState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::Disabled,
        Self::ForcedOpen,
        Self::HalfOpen,
        Self::MetricsOnly,
        Self::Open,
        Self::RampingUp,
    ];

    /// The state in one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Disabled => "disabled",
            Self::ForcedOpen => "forced-open",
            Self::HalfOpen => "half-open",
            Self::MetricsOnly => "metrics-only",
            Self::Open => "open",
            Self::RampingUp => "ramping-up",
        }
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
