use super::phase::Ticket;
use super::shared::Shared;
use super::state::Ended;
use crate::classify::{Failure, Outcome};

/// One call that a breaker has let through.
///
/// Dropped without an outcome it counts as [`Config::cancelled`](super::Config::cancelled) says, and a
/// probe's place is free again. Dropped by a panic it counts as a failure.
#[derive(Debug)]
#[must_use = "dropping the permit at once counts the call as cancelled"]
pub struct Permit {
    /// `None` once the outcome is recorded.
    shared: Option<&'static Shared>,
    ticket: Ticket,
}

impl Permit {
    #[inline]
    pub(super) fn new(shared: &'static Shared, ticket: Ticket) -> Self {
        Self {
            shared: Some(shared),
            ticket,
        }
    }

    /// Tells the breaker how the call ended.
    #[inline]
    pub fn record(mut self, outcome: Outcome) {
        self.end(Ended::Answered(outcome));
    }

    /// Says that the call was given up. Unlike a plain drop it says so also while a panic of somebody
    /// else unwinds.
    pub(super) fn cancel(mut self) {
        self.end(Ended::Cancelled);
    }

    #[cold]
    fn dropped(&mut self) {
        self.end(if std::thread::panicking() {
            Ended::Answered(Outcome::Failure(Failure::Transient))
        } else {
            Ended::Cancelled
        });
    }

    #[inline]
    fn end(&mut self, ended: Ended) {
        if let Some(shared) = self.shared.take() {
            shared.record(self.ticket, ended);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.shared.is_some() {
            self.dropped();
        }
    }
}
