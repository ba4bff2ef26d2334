//! The future of a service with a timeout; that of a deadline is [`Within`](crate::deadline::Within).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;

use crate::clock::after;
use crate::deadline::{Listener, Timer};
use crate::error::Rejected;

/// The answer of a service, or the news that there was none in time.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    /// `None` once it has ended.
    #[pin]
    call: Option<F>,
    limit: Duration,
    listener: Listener,
    #[pin]
    timer: Timer,
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) const fn new(call: F, limit: Duration, listener: Listener) -> Self {
        Self {
            call: Some(call),
            limit,
            listener,
            timer: Timer::idle(),
        }
    }
}

impl<F, T, E> Future for ResponseFuture<F>
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
        let polled = call.poll(cx);
        if polled.is_ready() {
            return polled;
        }
        let limit = *this.limit;
        // The deadline of a caller is not looked at: the caller drops the call, and so what stands
        // between sees that it was given up, and not that the service was too slow.
        let end = || after(Instant::now(), limit);
        if this.timer.poll_at(cx, end).is_pending() {
            return Poll::Pending;
        }
        this.call.set(None);
        this.listener.elapsed();
        let timeout = this.listener.name();
        tracing::debug!(name: "bowline.timeout.elapsed", timeout, ?limit);
        Poll::Ready(Err(Rejected::elapsed(limit).into()))
    }
}
