//! Services behind a breaker whose answers are judged when their bodies end.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tower::{Layer, Service};

use super::ended::Ended;
use super::future::{State, StateProjection, told};
use super::waiting::Polling;
use super::{Breaker, Permit};
use crate::classify::{Classify, Outcome};
use crate::error::Rejected;

/// Puts services behind one [`Breaker`] that takes an answer for a success only when its body has come
/// to its end.
#[derive(Debug, Clone)]
pub struct BodyLayer<C> {
    breaker: Breaker,
    classifier: C,
}

/// A service behind a [`Breaker`] that waits for the end of the body.
#[derive(Debug, Clone)]
pub struct BodyService<S, C> {
    inner: S,
    breaker: Breaker,
    classifier: C,
}

impl<C> BodyLayer<C> {
    pub(super) fn new(breaker: Breaker, classifier: C) -> Self {
        Self {
            breaker,
            classifier,
        }
    }
}

impl<S, C: Clone> Layer<S> for BodyLayer<C> {
    type Service = BodyService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService {
            inner,
            breaker: self.breaker.clone(),
            classifier: self.classifier.clone(),
        }
    }
}

impl<S, C, Req, B> Service<Req> for BodyService<S, C>
where
    S: Service<Req, Response = Response<B>>,
    S::Error: From<Rejected>,
    B: Body,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = Response<GuardedBody<B>>;
    type Error = S::Error;
    type Future = HeadFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let permit = self.breaker.pass();
        HeadFuture(match permit.map_or_else(|| self.breaker.admit(), Ok) {
            Ok(permit) => State::called(self.inner.call(request), permit, self.classifier.clone()),
            Err(rejected) => State::Rejected(Some(rejected)),
        })
    }
}

/// The head of an answer, with a body that reports to the breaker; or the rejection.
#[pin_project]
#[derive(Debug)]
pub struct HeadFuture<F, C>(#[pin] State<F, C>);

impl<F, C, B, E> Future for HeadFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: From<Rejected>,
    C: Classify<Response<B>, E>,
{
    type Output = Result<Response<GuardedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StateProjection::Called {
                future,
                permit,
                classifier,
            } => {
                let polling = Polling::new(permit);
                let polled = future.poll(cx);
                let outcome = match &polled {
                    Poll::Ready(result) => Some(classifier.classify(result.as_ref())),
                    Poll::Pending => None,
                };
                mem::forget(polling);
                let (Poll::Ready(result), Some(outcome)) = (polled, outcome) else {
                    return Poll::Pending;
                };
                let waits = result
                    .as_ref()
                    .is_ok_and(|response| !response.body().is_end_stream());
                if outcome != Outcome::Success || !waits {
                    permit.end(Ended::Answered(outcome));
                }
                let permit = permit.take();
                Poll::Ready(
                    result.map(|response| response.map(|inner| GuardedBody { inner, permit })),
                )
            }
            StateProjection::Rejected(refusal) => Poll::Ready(Err(told(refusal).into())),
        }
    }
}

/// A body that tells a breaker how it ended: its end is a success, an error of it a transient failure.
/// Dropped before, the call counts as [`Config::cancelled`](super::Config::cancelled) says.
#[pin_project]
pub struct GuardedBody<B> {
    #[pin]
    inner: B,
    permit: Permit,
}

impl<B: Body> Body for GuardedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => this.permit.end(Ended::FAILED),
            // Whoever knows the length may never ask for the frame after the last.
            Some(Ok(_)) if !this.inner.is_end_stream() => {}
            Some(Ok(_)) | None => this.permit.end(Ended::Answered(Outcome::Success)),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for GuardedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
