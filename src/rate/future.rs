//! The futures of services behind a rate limiter.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower::Service;

use super::Reservation;
use crate::error::Rejected;

/// The answer of a service behind a rate limiter, or the rejection.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F>(#[pin] State<F>);

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F> {
    Called(#[pin] F),
    /// `Some` until it is returned.
    Rejected(Option<Rejected>),
}

impl<F> ResponseFuture<F> {
    pub(super) const fn called(future: F) -> Self {
        Self(State::Called(future))
    }

    pub(super) const fn rejected(rejected: Rejected) -> Self {
        Self(State::Rejected(Some(rejected)))
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
        match self.project().0.project() {
            StateProjection::Called(future) => future.poll(cx),
            StateProjection::Rejected(rejected) => {
                let rejected = rejected
                    .take()
                    .expect("invariant: not polled after it was ready");
                Poll::Ready(Err(rejected.into()))
            }
        }
    }
}

/// The answer of a service behind a rate limiter that lets calls wait, or the rejection.
#[pin_project]
pub struct WaitingFuture<S: Service<Req>, Req> {
    /// `Some` until the service is called.
    call: Option<Call<S, Req>>,
    #[pin]
    step: Step<S::Future>,
}

/// A call that waits for its permit. Dropped before it is made, it gives the permit back.
struct Call<S, Req> {
    /// Not ready, so that it takes nobody's place while it waits.
    service: S,
    request: Req,
    reservation: Reservation,
}

#[pin_project(project = StepProjection)]
enum Step<F> {
    Waiting(#[pin] Sleep),
    /// Waiting for the service to be ready.
    Readying,
    Answering(#[pin] ResponseFuture<F>),
}

impl<S: Service<Req>, Req> WaitingFuture<S, Req> {
    pub(super) fn answering(answer: ResponseFuture<S::Future>) -> Self {
        Self {
            call: None,
            step: Step::Answering(answer),
        }
    }

    pub(super) fn waiting(service: S, request: Req, reservation: Reservation) -> Self {
        Self {
            step: Step::Waiting(sleep_until(reservation.ready_at())),
            call: Some(Call {
                service,
                request,
                reservation: reservation.held_until_used(),
            }),
        }
    }
}

impl<S, Req> Future for WaitingFuture<S, Req>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProjection::Waiting(sleep) => {
                    ready!(sleep.poll(cx));
                    Step::Readying
                }
                StepProjection::Readying => {
                    let Some(call) = this.call.as_mut() else {
                        return Poll::Pending;
                    };
                    let ready = ready!(call.service.poll_ready(cx));
                    let call = this.call.take();
                    ready?;
                    let Some(mut call) = call else {
                        return Poll::Pending;
                    };
                    call.reservation.used();
                    Step::Answering(ResponseFuture::called(call.service.call(call.request)))
                }
                StepProjection::Answering(answer) => return answer.poll(cx),
            };
            this.step.set(next);
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for WaitingFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingFuture")
            .field("waits", &self.call.is_some())
            .finish_non_exhaustive()
    }
}
