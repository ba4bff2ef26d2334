use super::Breaker;
use super::state::Ticket;
use crate::classify::{Failure, Outcome};

/// One call that a breaker has let through.
///
/// Dropped without an outcome it counts as cancelled: it says nothing about the service, and a
/// probe's place is free again. Dropped by a panic it counts as a failure.
#[derive(Debug)]
#[must_use = "dropping the permit at once counts the call as cancelled"]
pub struct Permit {
    breaker: Breaker,
    ticket: Ticket,
    recorded: bool,
}

impl Permit {
    pub(super) fn new(breaker: Breaker, ticket: Ticket) -> Self {
        Self {
            breaker,
            ticket,
            recorded: false,
        }
    }

    /// Says that the call was given up: it says nothing about the service. Unlike a plain drop, this
    /// does so also while a panic of somebody else unwinds.
    pub(super) fn cancel(mut self) {
        self.recorded = true;
        self.breaker.record(self.ticket, None);
    }

    /// Tells the breaker how the call ended.
    pub fn record(mut self, outcome: Outcome) {
        self.recorded = true;
        self.breaker.record(self.ticket, Some(outcome));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.recorded {
            return;
        }
        let panicked = std::thread::panicking();
        self.breaker.record(
            self.ticket,
            panicked.then_some(Outcome::Failure(Failure::Transient)),
        );
    }
}
