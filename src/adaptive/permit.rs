use tokio::time::Instant;

use super::shared::Shared;
use super::state::Ended;
use crate::classify::Outcome;

/// One call that an adaptive limit has let through. Its place is free when this is dropped.
///
/// Dropped without an outcome the call was given up: it says only how long it took at least.
#[derive(Debug)]
#[must_use = "dropping the permit at once gives the place back"]
pub struct Permit {
    shared: &'static Shared,
    began: Instant,
    ended: Option<Ended>,
}

impl Permit {
    #[inline]
    pub(super) fn new(shared: &'static Shared, began: Instant) -> Self {
        Self {
            shared,
            began,
            ended: Some(Ended::Cancelled),
        }
    }

    /// Tells the limit how the call ended.
    #[inline]
    pub fn record(mut self, outcome: Outcome) {
        self.ended = Ended::of(outcome);
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.shared.leave(self.began, self.ended);
    }
}
