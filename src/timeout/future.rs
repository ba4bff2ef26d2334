//! The future of a service with a timeout; that of a deadline is [`Within`](crate::deadline::Within).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;

use crate::deadline::{Limit, Timer, earliest};
use crate::error::Rejected;

/// The answer of a service, or the news that there was none in time.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F> {
    /// `None` once it has ended.
    #[pin]
    call: Option<F>,
    limit: Duration,
    /// `Some` once the time counts: the earlier of the limit and the deadline of the whole call.
    end: Option<Limit>,
    #[pin]
    timer: Timer,
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) const fn new(call: F, limit: Duration) -> Self {
        Self {
            call: Some(call),
            limit,
            end: None,
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
        let end = *this.end.get_or_insert_with(|| earliest(*this.limit));
        if this.timer.poll_at(cx, || end.at).is_pending() {
            return Poll::Pending;
        }
        this.call.set(None);
        tracing::debug!(name: "bowline.timeout.elapsed", limit = ?end.given);
        Poll::Ready(Err(Rejected::elapsed(end.given).into()))
    }
}
