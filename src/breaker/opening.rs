use std::sync::Arc;
use std::time::Duration;

use super::Reason;
use crate::classify::Failure;

/// How long to stay open, decided by a function.
pub(super) type OpenFor = Arc<dyn Fn(Opening) -> Duration + Send + Sync>;

/// What a function that decides how long to stay open is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// How often it opened without having been closed in between, this time included; from 1.
    pub times: u32,
    /// Why it opens.
    pub reason: Reason,
    /// How the latest failure failed.
    pub last_failure: Option<Failure>,
}
