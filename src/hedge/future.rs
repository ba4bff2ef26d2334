//! The future of a service that hedges.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::Instant;
use tower::Service;

use super::Hedge;
use super::attempts::{Attempts, Ended};
use crate::classify::{Classify, Failure, Outcome};
use crate::clock::after;
use crate::deadline::Timer;
use crate::request::CloneRequest;

/// The first answer of as many attempts as it took.
#[pin_project]
pub struct ResponseFuture<S: Service<Req>, C, R, Req> {
    hedge: Hedge,
    classifier: C,
    requests: R,
    #[pin]
    attempts: Attempts<S, Req>,
    /// How many attempts were begun.
    begun: u32,
    /// What the next attempt is made of; `Some` while there may be one.
    spare: Option<(S, Req)>,
    /// What the first attempt said, if that was a failure.
    failed: Option<Result<S::Response, S::Error>>,
    /// When the first attempt did not answer at once: until then no clock is read.
    since: Option<Instant>,
    /// When the next attempt begins.
    next: Option<Instant>,
    #[pin]
    timer: Timer,
}

/// What follows from how an attempt ended.
enum Verdict {
    /// Its result is that of the call.
    Wins,
    /// The next attempt begins at once.
    Next,
    /// The others go on, and no further one begins.
    Out,
}

impl<S, C, R, Req> ResponseFuture<S, C, R, Req>
where
    S: Service<Req> + Clone,
    R: CloneRequest<Req>,
{
    pub(super) fn new(
        service: &mut S,
        hedge: Hedge,
        (classifier, requests): (C, R),
        request: Req,
    ) -> Self {
        let again = (hedge.attempts() > 1)
            .then(|| requests.clone_request(&request))
            .flatten();
        // The clone is no more than what hedges are cloned from: it is not asked to be ready yet.
        let spare = again.map(|again| (service.clone(), again));
        Self {
            attempts: Attempts::new(service.call(request)),
            hedge,
            classifier,
            requests,
            begun: 1,
            spare,
            failed: None,
            since: None,
            next: None,
            timer: Timer::idle(),
        }
    }

    /// Begins the next attempt, if there may be one.
    fn begin(self: Pin<&mut Self>, reason: &'static str) -> bool {
        let this = self.project();
        let Some((service, request)) = this.spare.take() else {
            return false;
        };
        // Another policy may have come since the request was copied.
        if *this.begun >= this.hedge.attempts() {
            return false;
        }
        if !this.hedge.begin(*this.begun + 1, reason) {
            return false;
        }
        let index = *this.begun as usize;
        *this.begun += 1;
        if *this.begun < this.hedge.attempts() {
            let again = this.requests.clone_request(&request);
            *this.spare = again.map(|again| (service.clone(), again));
        }
        this.attempts.begin(index, service, request);
        // The next one has its delay from now on.
        *this.next = None;
        this.timer.disarm();
        true
    }
}

impl<S, C, R, Req> ResponseFuture<S, C, R, Req>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error>,
    R: CloneRequest<Req>,
{
    /// Drives all attempts on, until there is a result or all of them wait.
    fn poll_attempts(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        loop {
            let mut is_running = false;
            let mut failures = 0;
            let mut won = None;
            let mut this = self.as_mut().project();
            for (index, mut attempt) in this.attempts.as_mut().all().into_iter().enumerate() {
                let Poll::Ready(ended) = attempt.as_mut().poll(cx) else {
                    is_running |= !attempt.is_empty();
                    continue;
                };
                let Ended::Answered(result) = ended else {
                    *this.spare = None;
                    continue;
                };
                let outcome = this.classifier.classify(result.as_ref());
                match judge(outcome, index, result.is_err()) {
                    Verdict::Wins => {
                        won = Some((index, outcome, result));
                        break;
                    }
                    Verdict::Next => failures += 1,
                    Verdict::Out => *this.spare = None,
                }
                if index == 0 {
                    *this.failed = Some(result);
                }
            }
            if let Some((index, outcome, result)) = won {
                self.won(index, outcome);
                return Poll::Ready(result);
            }
            let begins = (0..failures).filter(|_| self.as_mut().begin("failure"));
            if begins.count() > 0 {
                continue;
            }
            let failed = self.as_mut().project().failed;
            return match failed.take_if(|_| !is_running) {
                Some(failed) => Poll::Ready(failed),
                None => Poll::Pending,
            };
        }
    }

    /// Drops all other attempts, and takes in what the call has shown.
    fn won(self: Pin<&mut Self>, index: usize, outcome: Outcome) {
        let this = self.project();
        this.attempts.clear();
        if outcome == Outcome::Success {
            // After a failure of the first attempt the time says nothing about the service.
            let took = this.failed.is_none().then(|| {
                let since = this.since.as_ref();
                since.map(Instant::elapsed).unwrap_or_default()
            });
            this.hedge.succeeded(took, index > 0);
        }
    }
}

impl<S, C, R, Req> Future for ResponseFuture<S, C, R, Req>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error>,
    R: CloneRequest<Req>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Poll::Ready(result) = self.as_mut().poll_attempts(cx) {
                return Poll::Ready(result);
            }
            let this = self.as_mut().project();
            if this.since.is_none() && (this.spare.is_some() || this.hedge.is_timed()) {
                *this.since = Some(Instant::now());
            }
            if this.spare.is_none() {
                return Poll::Pending;
            }
            let next = *this.next.get_or_insert_with(|| {
                let begun = this.since.filter(|_| *this.begun == 1);
                after(begun.unwrap_or_else(Instant::now), this.hedge.delay())
            });
            ready!(this.timer.poll_at(cx, || next));
            self.as_mut().begin("delay");
        }
    }
}

/// What follows from the outcome of the attempt at place `index`.
fn judge(outcome: Outcome, index: usize, is_error: bool) -> Verdict {
    match outcome {
        // Refused on its way, or a mistake of the caller, of which the first attempt will tell as well.
        Outcome::Ignored if index > 0 && is_error => Verdict::Out,
        Outcome::Success | Outcome::Ignored | Outcome::Failure(Failure::Permanent) => Verdict::Wins,
        Outcome::Failure(Failure::Transient) => Verdict::Next,
        Outcome::Failure(Failure::Throttled { .. }) => Verdict::Out,
    }
}

impl<S: Service<Req>, C, R, Req> fmt::Debug for ResponseFuture<S, C, R, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("hedge", &self.hedge)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}
