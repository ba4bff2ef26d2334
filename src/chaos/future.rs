//! The future of a call that may be broken.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;

use crate::clock::after;
use crate::deadline::Timer;

/// The answer of a call, late or in time, or the error that was injected.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, E> {
    /// `None` when an error is injected.
    #[pin]
    call: Option<F>,
    /// `Some` until it is returned.
    error: Option<E>,
    /// `Some` until it has passed; it counts from the first poll.
    latency: Option<Duration>,
    #[pin]
    timer: Timer,
}

impl<F, E> ResponseFuture<F, E> {
    pub(super) const fn called(call: F, latency: Option<Duration>) -> Self {
        Self::new(Some(call), None, latency)
    }

    pub(super) const fn failing(error: E, latency: Option<Duration>) -> Self {
        Self::new(None, Some(error), latency)
    }

    const fn new(call: Option<F>, error: Option<E>, latency: Option<Duration>) -> Self {
        Self {
            call,
            error,
            latency,
            timer: Timer::idle(),
        }
    }
}

impl<F, T, E> Future for ResponseFuture<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(latency) = *this.latency {
            ready!(this.timer.poll_at(cx, || after(Instant::now(), latency)));
            *this.latency = None;
        }
        match this.call.as_pin_mut() {
            Some(call) => call.poll(cx),
            None => {
                let error = this.error.take();
                let error = error.expect("invariant: not polled after it was ready");
                Poll::Ready(Err(error))
            }
        }
    }
}
