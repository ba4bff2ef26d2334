//! The future of a service behind an adaptive limit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;

use super::Permit;
use crate::classify::Classify;
use crate::error::Rejected;

/// The answer of a service behind an adaptive limit, or the rejection.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, C>(#[pin] State<F, C>);

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F, C> {
    Called {
        #[pin]
        future: F,
        /// `Some` until the outcome is recorded.
        permit: Option<Permit>,
        classifier: C,
    },
    /// `Some` until it is returned.
    Rejected(Option<Rejected>),
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(super) const fn called(future: F, permit: Permit, classifier: C) -> Self {
        Self(State::Called {
            future,
            permit: Some(permit),
            classifier,
        })
    }

    #[cold]
    pub(super) const fn rejected(rejected: Rejected) -> Self {
        Self(State::Rejected(Some(rejected)))
    }
}

impl<F, C, T, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[expect(
        clippy::expect_used,
        reason = "polling a finished future is the caller's bug"
    )]
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StateProjection::Called {
                future,
                permit,
                classifier,
            } => {
                let result = ready!(future.poll(cx));
                if let Some(permit) = permit.take() {
                    permit.record(classifier.classify(result.as_ref()));
                }
                Poll::Ready(result)
            }
            StateProjection::Rejected(rejected) => {
                let rejected = rejected
                    .take()
                    .expect("invariant: not polled after it was ready");
                Poll::Ready(Err(rejected.into()))
            }
        }
    }
}
