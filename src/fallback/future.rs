//! The future of a service with a fallback.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

use super::{Fallback, Substitute};
use crate::classify::Classify;

/// The answer of a service, or of its substitute.
#[pin_project]
pub struct ResponseFuture<S, A, C, Req>
where
    S: Service<Req>,
    A: Substitute<Req, S::Response, S::Error>,
{
    fallback: Fallback<A>,
    classifier: C,
    /// `Some` until the call has ended.
    kept: Option<A::Kept>,
    #[pin]
    state: State<S::Future, A::Future>,
}

#[pin_project(project = StateProjection)]
enum State<F, G> {
    Called(#[pin] F),
    Substituted(#[pin] G),
}

impl<S, A, C, Req> ResponseFuture<S, A, C, Req>
where
    S: Service<Req>,
    A: Substitute<Req, S::Response, S::Error>,
{
    pub(super) fn new(
        call: S::Future,
        fallback: Fallback<A>,
        classifier: C,
        kept: A::Kept,
    ) -> Self {
        Self {
            fallback,
            classifier,
            kept: Some(kept),
            state: State::Called(call),
        }
    }
}

impl<S, A, C, Req> Future for ResponseFuture<S, A, C, Req>
where
    S: Service<Req>,
    A: Substitute<Req, S::Response, S::Error>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Called(call) => {
                    let result = ready!(call.poll(cx));
                    let kept = this.kept.take();
                    let kept = kept.expect("invariant: not polled after it was ready");
                    match this.fallback.judge(this.classifier, kept, result) {
                        // The call that has failed is dropped before the substitute runs.
                        Ok(substitute) => this.state.set(State::Substituted(substitute)),
                        Err(result) => return Poll::Ready(result),
                    }
                }
                StateProjection::Substituted(substitute) => {
                    let result = ready!(substitute.poll(cx));
                    return Poll::Ready(this.fallback.answered(result));
                }
            }
        }
    }
}

impl<S, A, C, Req> fmt::Debug for ResponseFuture<S, A, C, Req>
where
    S: Service<Req>,
    A: Substitute<Req, S::Response, S::Error>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_substituted = matches!(self.state, State::Substituted(_));
        f.debug_struct("ResponseFuture")
            .field("is_substituted", &is_substituted)
            .finish_non_exhaustive()
    }
}
