//! The future of a service that tries again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower::Service;

use super::Config;
use super::schedule::{Schedule, deadline};
use crate::classify::Classify;
use crate::error::Rejected;
use crate::request::CloneRequest;

/// The answer of a service after as many attempts as it took.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, C, R, Req> {
    service: S,
    classifier: C,
    requests: R,
    config: Config,
    schedule: Schedule,
    /// `Some` while another attempt may follow and the request can be sent again.
    again: Option<Req>,
    #[pin]
    state: State<S::Future>,
    /// The error of the last attempt; `Some` while another one is waited for.
    failed: Option<S::Error>,
    /// `Some` once the first attempt did not answer at once: until then no clock is read.
    end: Option<Instant>,
    /// The timer of the deadline; armed together with `end`.
    #[pin]
    timer: Option<Sleep>,
}

#[pin_project(project = StateProjection)]
#[derive(Debug)]
enum State<F> {
    Running(#[pin] F),
    Waiting(#[pin] Sleep),
    /// Waiting for the service to be ready for the next attempt.
    Readying,
}

impl<S, C, R, Req> ResponseFuture<S, C, R, Req>
where
    S: Service<Req>,
    R: CloneRequest<Req>,
{
    pub(super) fn new(
        mut service: S,
        config: Config,
        (classifier, requests): (C, R),
        request: Req,
    ) -> Self {
        let schedule = Schedule::new(config);
        let again = schedule
            .may_retry()
            .then(|| requests.clone_request(&request))
            .flatten();
        let state = State::Running(service.call(request));
        Self {
            service,
            classifier,
            requests,
            config,
            schedule,
            again,
            state,
            failed: None,
            end: None,
            timer: None,
        }
    }
}

impl<S, C, R, Req> Future for ResponseFuture<S, C, R, Req>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error>,
    R: CloneRequest<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let step = match this.state.as_mut().project() {
                StateProjection::Running(future) => future.poll(cx).map(Step::Answered),
                StateProjection::Waiting(sleep) => sleep.poll(cx).map(|()| Step::Waited),
                StateProjection::Readying => this.service.poll_ready(cx).map(Step::Ready),
            };
            let Poll::Ready(step) = step else {
                let end = *this
                    .end
                    .get_or_insert_with(|| deadline(this.config, Instant::now()));
                if this.timer.is_none() {
                    this.timer.set(Some(sleep_until(end)));
                }
                if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                }
                return Poll::Ready(Err(late(this.failed, this.config)));
            };
            match step {
                Step::Answered(result) => {
                    let outcome = this.classifier.classify(result.as_ref());
                    // Without a copy of the request there is no further attempt.
                    if this.again.is_none() {
                        return Poll::Ready(result);
                    }
                    if outcome == crate::classify::Outcome::Success {
                        return Poll::Ready(result);
                    }
                    let now = Instant::now();
                    let end = *this.end.get_or_insert_with(|| deadline(this.config, now));
                    match (this.schedule.next(outcome, now, end), result) {
                        (Some(wait), Err(error)) => {
                            *this.failed = Some(error);
                            this.state.set(State::Waiting(sleep(wait)));
                        }
                        // Not kept: its body may hold a connection.
                        (Some(wait), Ok(_)) => this.state.set(State::Waiting(sleep(wait))),
                        (None, result) => return Poll::Ready(result),
                    }
                }
                Step::Waited => this.state.set(State::Readying),
                Step::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Step::Ready(Ok(())) => {
                    // A process that was stopped, or a service that was long in getting ready: a
                    // timer that fires late must not begin what nobody waits for any more.
                    if this.end.is_some_and(|end| end <= Instant::now()) {
                        return Poll::Ready(Err(late(this.failed, this.config)));
                    }
                    if let Some(request) = this.again.take() {
                        // The last attempt needs no copy.
                        if this.schedule.may_retry() {
                            *this.again = this.requests.clone_request(&request);
                        }
                        *this.failed = None;
                        let attempt = this.service.call(request);
                        this.state.set(State::Running(attempt));
                    }
                }
            }
        }
    }
}

/// Why a call ends whose deadline has come: as its last attempt, when none is running.
fn late<E: From<Rejected>>(failed: &mut Option<E>, config: &Config) -> E {
    let elapsed = || Rejected::elapsed(config.deadline).into();
    failed.take().unwrap_or_else(elapsed)
}

enum Step<T, E> {
    Answered(Result<T, E>),
    Waited,
    Ready(Result<(), E>),
}

impl<S: Service<Req>, C, R, Req> fmt::Debug for ResponseFuture<S, C, R, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("attempt", &self.schedule.attempt())
            .finish_non_exhaustive()
    }
}
