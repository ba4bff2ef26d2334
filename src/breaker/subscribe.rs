use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Transition;

/// The changes of state of one breaker; see [`Breaker::subscribe`](super::Breaker::subscribe).
///
/// A subscriber that is slow holds up nobody: when it falls behind by more than 64 changes it misses
/// the oldest.
#[derive(Debug)]
pub struct Transitions(broadcast::Receiver<Transition>);

impl Transitions {
    pub(super) fn new(receiver: broadcast::Receiver<Transition>) -> Self {
        Self(receiver)
    }

    /// The next change of state; `None` once the breaker is gone.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a change that was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Transition> {
        loop {
            match self.0.recv().await {
                Ok(transition) => return Some(transition),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
