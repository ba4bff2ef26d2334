//! The future of a service behind a breaker.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::Permit;
use crate::classify::Classify;
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

/// The permit of a call that is not being polled: `Some` until the outcome is recorded, and but for
/// the time of a poll. A call that is dropped is given up, whatever unwinds around it.
#[derive(Debug)]
struct Waiting(Option<Permit>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take() {
            permit.cancel();
        }
    }
}

impl<F, C> ResponseFuture<F, C> {
    pub(super) fn called(future: F, permit: Permit, classifier: C) -> Self {
        Self(State::Called {
            future,
            permit: Waiting(Some(permit)),
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
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().0.project() {
            StateProjection::Called {
                future,
                permit,
                classifier,
            } => {
                // Held here while polling, so that a panic unwinds through it and counts.
                let held = permit.0.take();
                let Poll::Ready(result) = future.poll(cx) else {
                    permit.0 = held;
                    return Poll::Pending;
                };
                if let Some(held) = held {
                    held.record(classifier.classify(result.as_ref()));
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
