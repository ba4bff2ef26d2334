//! The future of a service behind a breaker.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::Permit;
use super::ended::{Ended, Refusal};
use super::waiting::{Polling, Waiting};
use crate::classify::Classify;
use crate::error::Rejected;

/// The answer of a service behind a breaker, or the rejection.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, C>(#[pin] State<F, C>);

#[pin_project(project = StateProjection)]
#[derive(Debug)]
pub(super) enum State<F, C> {
    Called {
        #[pin]
        future: F,
        permit: Waiting,
        classifier: C,
    },
    /// `Some` until it is returned.
    Rejected(Option<Refusal>),
}

impl<F, C> State<F, C> {
    #[inline]
    pub(super) fn called(future: F, permit: Permit, classifier: C) -> Self {
        Self::Called {
            future,
            permit: Waiting::new(permit),
            classifier,
        }
    }
}

impl<F, C> ResponseFuture<F, C> {
    #[inline]
    pub(super) fn called(future: F, permit: Permit, classifier: C) -> Self {
        Self(State::called(future, permit, classifier))
    }

    #[inline]
    pub(super) fn rejected(rejected: Refusal) -> Self {
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

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StateProjection::Called {
                future,
                permit,
                classifier,
            } => {
                let polling = Polling::new(permit);
                let polled = future.poll(cx);
                // Looked at where it lies: a result that is moved first is read before it is written.
                let outcome = match &polled {
                    Poll::Ready(result) => Some(classifier.classify(result.as_ref())),
                    Poll::Pending => None,
                };
                mem::forget(polling);
                if let Some(outcome) = outcome {
                    permit.end(Ended::Answered(outcome));
                }
                polled
            }
            StateProjection::Rejected(refusal) => Poll::Ready(Err(told(refusal).into())),
        }
    }
}

/// What the caller is told of a rejection.
#[cold]
#[expect(
    clippy::expect_used,
    reason = "polling a finished future is the caller's bug"
)]
pub(super) fn told(refusal: &mut Option<Refusal>) -> Rejected {
    let refusal = refusal.take();
    refusal
        .expect("invariant: not polled after it was ready")
        .into()
}
