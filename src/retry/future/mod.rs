//! The future of a service that tries again.

mod steps;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::judge::{Judge, Verdict};
use super::schedule::Schedule;
use super::shared::Pass;
use super::spare::Spare;
use super::{CloneRequest, Predicate};
use crate::classify::Classify;
use crate::deadline::Timer;
use crate::error::Rejected;

/// The answer of a service after as many attempts as it took.
///
/// Drop it once it has answered: after a success it may keep the request, and a clone of the service, until
/// then. It must not be polled again.
#[pin_project(project = Parts)]
pub struct ResponseFuture<S: Service<Req>, J, R, Req> {
    judge: J,
    requests: R,
    pass: Pass,
    schedule: Schedule,
    /// Whether the call is to pay into the budget as soon as an attempt has reached the service.
    owes: bool,
    /// The number of the attempt, from 1.
    attempt: u32,
    /// `Some` while another attempt may follow and the request can be sent again.
    again: Option<Req>,
    /// What makes it then.
    spare: Spare<S>,
    #[pin]
    state: State<S::Future, S::Error>,
    /// `Some` once the first attempt did not answer at once: until then no clock is read.
    end: Option<Instant>,
    /// When the timer goes off, once it is set for the present state.
    until: Option<Instant>,
    /// The one timer: what it stands for is said by the state.
    #[pin]
    timer: Timer,
}

/// What a call takes along of its retry.
pub(super) struct Begun {
    pub(super) pass: Pass,
    pub(super) owes: bool,
    pub(super) schedule: Schedule,
}

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F, E> {
    /// The timer is that of the attempt or the deadline, whichever is first.
    Running(#[pin] F),
    /// The timer is that of the wait. With the error of the last attempt, if it was one.
    Waiting(Option<E>),
    /// Waiting for the service to be ready for the next attempt; the timer is that of the deadline.
    Readying(Option<E>),
    /// All that the call has held is dropped.
    Ended,
}

/// What a state has come to.
enum Step<T, E> {
    Answered(Result<T, E>),
    /// Answered, and the judge has been asked.
    Judged(Verdict, Result<T, E>),
    /// The attempt has used up its time.
    TimedOut,
    /// The call has used up its time.
    Late,
    Waited,
    Ready(Result<(), E>),
}

impl<S: Service<Req>, J, R, Req> ResponseFuture<S, J, R, Req> {
    /// The call that the attempt `first` begins; others may follow if it can be made `again`.
    #[inline]
    pub(super) fn new(
        begun: Begun,
        (judge, requests): (J, R),
        again: Option<Req>,
        spare: Spare<S>,
        first: impl FnOnce() -> S::Future,
    ) -> Self {
        // Its future is written where it stays: one that is moved first is read before it is written.
        let state = State::Running(first());
        Self {
            judge,
            requests,
            pass: begun.pass,
            schedule: begun.schedule,
            owes: begun.owes,
            attempt: 1,
            again,
            spare,
            state,
            end: None,
            until: None,
            timer: Timer::idle(),
        }
    }
}

#[cfg(test)]
impl<S: Service<Req>, J, R, Req> ResponseFuture<S, J, R, Req> {
    /// Whether its retry is still to be found.
    pub(in crate::retry) fn is_held(&self) -> bool {
        self.pass.shared().is_some()
    }
}

impl<S, C, P, R, Req> Future for ResponseFuture<S, Judge<C, P>, R, Req>
where
    S: Service<Req>,
    S::Error: From<Rejected> + 'static,
    C: Classify<S::Response, S::Error>,
    P: Predicate<Req, S::Response, S::Error>,
    R: CloneRequest<Req>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let StateProjection::Running(future) = this.state.as_mut().project() else {
            return this.go_on(None, cx);
        };
        let Poll::Ready(result) = future.poll(cx) else {
            return this.go_on(Some(Poll::Pending), cx);
        };
        let step = match result.is_ok().then(|| this.judge(&result)) {
            Some(Verdict::Return(outcome)) if !*this.owes && this.schedule.is_idle() => {
                this.pass.ended(outcome);
                return Poll::Ready(result);
            }
            Some(verdict) => Step::Judged(verdict, result),
            None => Step::Answered(result),
        };
        this.go_on(Some(Poll::Ready(step)), cx)
    }
}

impl<S: Service<Req>, J, R, Req> fmt::Debug for ResponseFuture<S, J, R, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
