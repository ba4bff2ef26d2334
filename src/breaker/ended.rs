use std::sync::Arc;
use std::time::Duration;

use super::State;
use crate::classify::{Failure, Outcome};
use crate::error::Rejected;

/// A call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) state: State,
    pub(super) retry_after: Option<Duration>,
    pub(super) last_failure: Option<Failure>,
}

/// The same, until the caller is told: smaller than a [`Rejected`], and so is a future that may hold it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) name: Arc<str>,
    pub(super) refused: Refused,
}

/// How a call ended, for its breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered(Outcome),
    Cancelled,
}

impl From<Refusal> for Rejected {
    #[cold]
    fn from(Refusal { name, refused }: Refusal) -> Self {
        Self::CircuitOpen {
            name,
            state: refused.state,
            retry_after: refused.retry_after,
            last_failure: refused.last_failure,
        }
    }
}

impl Ended {
    /// Also of a body that breaks off, and of a call that panics.
    pub(super) const FAILED: Self = Self::Answered(Outcome::Failure(Failure::Transient));
}
