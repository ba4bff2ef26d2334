use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is armed by its first poll.
///
/// It does not take part in cooperative scheduling: a call that has used up its task's budget on each
/// poll would otherwise keep the timer from ever being looked at.
#[pin_project]
pub(crate) struct Timer(#[pin] Option<Unconstrained<Sleep>>);

impl Timer {
    /// A timer that is not armed.
    pub(crate) const fn idle() -> Self {
        Self(None)
    }

    /// Ready once `at` has come, which is asked when the timer is armed.
    pub(crate) fn poll_at(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        at: impl FnOnce() -> Instant,
    ) -> Poll<()> {
        let mut sleep = self.project().0;
        if sleep.is_none() {
            sleep.set(Some(unconstrained(sleep_until(at()))));
        }
        match sleep.as_pin_mut() {
            Some(sleep) => sleep.poll(cx),
            None => Poll::Pending,
        }
    }

    /// Makes the next poll arm it anew.
    pub(crate) fn disarm(self: Pin<&mut Self>) {
        self.project().0.set(None);
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer")
            .field("armed", &self.0.is_some())
            .finish()
    }
}
