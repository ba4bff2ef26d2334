use std::time::Duration;

use super::State;
use crate::classify::{Failure, Outcome};

/// A call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) state: State,
    pub(super) retry_after: Option<Duration>,
    pub(super) last_failure: Option<Failure>,
}

/// How a call ended, for its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered(Outcome),
    Cancelled,
}

impl Ended {
    /// Also of a body that breaks off, and of a call that panics.
    pub(super) const FAILED: Self = Self::Answered(Outcome::Failure(Failure::Transient));
}
