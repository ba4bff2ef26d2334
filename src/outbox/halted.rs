use chrono::{DateTime, Utc};

/// An outbox that nobody relays until an operator resumes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Halted {
    /// Why, in words.
    pub reason: String,
    /// Since when, by the store's clock.
    pub since: DateTime<Utc>,
}

impl Halted {
    /// Halted at `since` because of `reason`.
    #[must_use]
    pub fn new(reason: impl Into<String>, since: DateTime<Utc>) -> Self {
        Self {
            reason: reason.into(),
            since,
        }
    }
}
