use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;

use super::{Listener, Timer, enter};
use crate::error::Rejected;

/// Gives `call` so much time in all, and tells it so; see the [module docs](super).
///
/// A limit of zero drops what does not answer at once.
#[must_use = "a future does nothing unless it is awaited"]
pub const fn within<F>(limit: Duration, call: F) -> Within<F> {
    Within {
        call: Some(call),
        limit,
        end: None,
        listener: Listener::nobody(),
        timer: Timer::idle(),
    }
}

/// The answer of a call that has a deadline.
#[pin_project]
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Within<F> {
    /// `None` once it has ended.
    #[pin]
    call: Option<F>,
    limit: Duration,
    /// `Some` once the time counts.
    end: Option<Instant>,
    listener: Listener,
    #[pin]
    timer: Timer,
}

impl<F> Within<F> {
    /// Makes a call under its deadline.
    #[inline]
    pub(crate) fn begin(limit: Duration, listener: Listener, call: impl FnOnce() -> F) -> Self {
        let mut end = None;
        let scope = enter(limit, &mut end);
        // The call is written to its place at once: to move a short one costs more than the rest.
        Self {
            call: Some(call()),
            end: {
                drop(scope);
                end
            },
            limit,
            listener,
            timer: Timer::idle(),
        }
    }
}

impl<F, T, E> Future for Within<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
{
    type Output = Result<T, E>;

    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let call = this.call.as_mut().as_pin_mut();
        let call = call.expect("invariant: not polled after it was ready");
        {
            let scope = enter(*this.limit, this.end);
            let polled = call.poll(cx);
            if polled.is_ready() {
                return polled;
            }
            scope.begin();
        }
        let Some(end) = *this.end else {
            return Poll::Pending;
        };
        if this.timer.poll_at(cx, || end).is_pending() {
            return Poll::Pending;
        }
        this.call.set(None);
        this.listener.elapsed();
        let (deadline, limit) = (this.listener.name(), *this.limit);
        tracing::debug!(name: "bowline.deadline.elapsed", deadline, ?limit);
        Poll::Ready(Err(Rejected::elapsed(limit).into()))
    }
}
