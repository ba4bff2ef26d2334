use super::ended::Ended;
use super::shared::Shared;
use super::ticket::Ticket;
use crate::classify::Outcome;

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

    /// Moves the end into another permit; this one has none any more.
    pub(super) fn take(&mut self) -> Self {
        Self {
            shared: self.shared.take(),
            ticket: self.ticket,
        }
    }

    /// The first end counts, further ones do not.
    #[inline]
    pub(super) fn end(&mut self, ended: Ended) {
        if let Some(shared) = self.shared.take() {
            shared.record(&self.ticket, ended);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared {
            dropped(shared, self.ticket);
        }
    }
}

#[cold]
fn dropped(shared: &'static Shared, ticket: Ticket) {
    let ended = if std::thread::panicking() {
        Ended::FAILED
    } else {
        Ended::Cancelled
    };
    shared.record(&ticket, ended);
}
