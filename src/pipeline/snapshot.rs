use std::sync::Arc;

use serde::Serialize;

use crate::{breaker, bulkhead, rate, retry};

/// A pipeline at one moment, for an operations page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The pipeline's name.
    pub name: Arc<str>,
    /// The retry, if there is one.
    pub retry: Option<retry::Snapshot>,
    /// The rate limiter, if there is one.
    pub rate_limit: Option<rate::Snapshot>,
    /// The breaker, if there is one.
    pub breaker: Option<breaker::Snapshot>,
    /// The bulkhead, if there is one.
    pub bulkhead: Option<bulkhead::Snapshot>,
}
