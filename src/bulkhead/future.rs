//! The futures of a bulkhead.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

use super::wait::Admission;
use super::{Bulkhead, Hold, Permit};
use crate::error::Rejected;

/// A place in a bulkhead, as soon as there is one; see [`Bulkhead::acquire`].
#[pin_project]
#[derive(Debug)]
pub struct Acquire<'a> {
    bulkhead: &'a Bulkhead,
    #[pin]
    admission: Admission,
}

impl<'a> Acquire<'a> {
    pub(super) const fn new(bulkhead: &'a Bulkhead) -> Self {
        Self {
            bulkhead,
            admission: Admission::new(),
        }
    }
}

impl Future for Acquire<'_> {
    type Output = Result<Permit, Rejected>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.admission.poll(this.bulkhead, cx)
    }
}

/// The answer of a service in a bulkhead, or the rejection.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, Req, H> {
    #[pin]
    state: State<S, Req>,
    hold: PhantomData<fn() -> H>,
}

#[pin_project(project = StateProjection)]
enum State<S: Service<Req>, Req> {
    Called {
        #[pin]
        future: S::Future,
        /// `Some` until the answer is there.
        permit: Option<Permit>,
    },
    /// In a box: it is rare, and would make the future of every call as large.
    Queued(Pin<Box<Waiting<S, Req>>>),
    /// `Some` until it is returned.
    Rejected(Option<Rejected>),
}

/// A call that has to wait for a place, and then for its service to be ready.
#[pin_project]
struct Waiting<S, Req> {
    service: S,
    bulkhead: Bulkhead,
    /// `Some` until the service is called.
    request: Option<Req>,
    /// `Some` from when it has its place until the service is called.
    permit: Option<Permit>,
    #[pin]
    admission: Admission,
}

impl<S: Service<Req>, Req, H> ResponseFuture<S, Req, H> {
    #[inline]
    pub(super) const fn called(future: S::Future, permit: Permit) -> Self {
        Self::new(State::Called {
            future,
            permit: Some(permit),
        })
    }

    #[cold]
    pub(super) fn queued(service: S, request: Req, bulkhead: Bulkhead) -> Self {
        Self::new(State::Queued(Box::pin(Waiting {
            service,
            bulkhead,
            request: Some(request),
            permit: None,
            admission: Admission::new(),
        })))
    }

    #[cold]
    pub(super) const fn rejected(rejected: Rejected) -> Self {
        Self::new(State::Rejected(Some(rejected)))
    }

    #[inline]
    const fn new(state: State<S, Req>) -> Self {
        Self {
            state,
            hold: PhantomData,
        }
    }
}

impl<S, Req, H> Future for ResponseFuture<S, Req, H>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    H: Hold<S::Response>,
{
    type Output = Result<H::Response, S::Error>;

    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Called { future, permit } => {
                    let result = ready!(future.poll(cx));
                    let permit = permit
                        .take()
                        .expect("invariant: not polled after it was ready");
                    return Poll::Ready(result.map(|response| H::hold(permit, response)));
                }
                StateProjection::Queued(waiting) => {
                    let (future, permit) = ready!(waiting.as_mut().poll(cx))?;
                    let permit = Some(permit);
                    this.state.set(State::Called { future, permit });
                }
                StateProjection::Rejected(rejected) => {
                    let rejected = rejected
                        .take()
                        .expect("invariant: not polled after it was ready");
                    return Poll::Ready(Err(rejected.into()));
                }
            }
        }
    }
}

impl<S, Req> Waiting<S, Req>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
{
    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(S::Future, Permit), S::Error>> {
        let this = self.project();
        if this.permit.is_none() && this.request.is_some() {
            let permit = ready!(this.admission.poll(this.bulkhead, cx))?;
            *this.permit = Some(permit);
        }
        if let Err(error) = ready!(this.service.poll_ready(cx)) {
            *this.permit = None;
            return Poll::Ready(Err(error));
        }
        let request = this.request.take();
        let request = request.expect("invariant: not polled after it was ready");
        let permit = this.permit.take();
        let permit = permit.expect("invariant: it has its place before it is ready");
        Poll::Ready(Ok((this.service.call(request), permit)))
    }
}

impl<S: Service<Req>, Req, H> fmt::Debug for ResponseFuture<S, Req, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Called { .. } => "called",
            State::Queued(_) => "queued",
            State::Rejected(_) => "rejected",
        };
        f.debug_struct("ResponseFuture")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
