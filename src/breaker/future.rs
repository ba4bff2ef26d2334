//! The future of a service behind a breaker.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::Permit;
use crate::classify::{Classify, Failure, Outcome};
use crate::error::Rejected;

/// The answer of a service behind a breaker, or the rejection.
#[pin_project]
#[derive(Debug)]
pub struct ResponseFuture<F, C>(#[pin] State<F, C>);

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F, C> {
    Called {
        #[pin]
        future: F,
        permit: Waiting,
        classifier: C,
    },
    /// `Some` until it is returned.
    Rejected(Option<Rejected>),
}

/// The permit of a call on its way. A call that is dropped is given up, whatever unwinds around it; one
/// that has panicked has failed.
#[derive(Debug)]
struct Waiting {
    /// `Some` until the outcome is recorded.
    permit: Option<Permit>,
    /// Set while the call is polled, and for good when it panics.
    polled: bool,
}

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            if self.polled {
                permit.record(Outcome::Failure(Failure::Transient));
            } else {
                permit.cancel();
            }
        }
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) fn called(future: F, permit: Permit, classifier: C) -> Self {
        Self(State::Called {
            future,
            permit: Waiting {
                permit: Some(permit),
                polled: false,
            },
            classifier,
        })
    }

    pub(super) fn rejected(rejected: Rejected) -> Self {
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
                permit.polled = true;
                let polled = future.poll(cx);
                permit.polled = false;
                let Poll::Ready(result) = polled else {
                    return Poll::Pending;
                };
                if let Some(permit) = permit.permit.take() {
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
