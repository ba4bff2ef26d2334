use std::future::Future;
use std::ops::ControlFlow;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower::Service;

use super::super::exhausted::Exhausted;
use super::super::judge::{Judge, Verdict};
use super::super::schedule::{Schedule, end};
use super::super::shared::{Held, Shared};
use super::super::spare::Spare;
use super::super::{Config, Predicate};
use super::{Parts, State, StateProjection, Step};
use crate::classify::{Classify, Failure};
use crate::clock::after;
use crate::deadline;
use crate::error::Rejected;
use crate::request::CloneRequest;

/// Whether the call goes on.
type Taken<T, E> = ControlFlow<Result<T, E>>;

impl<S, C, P, R, Req> Parts<'_, S, Judge<C, P>, R, Req>
where
    S: Service<Req>,
    S::Error: From<Rejected> + 'static,
    C: Classify<S::Response, S::Error>,
    P: Predicate<Req, S::Response, S::Error>,
    R: CloneRequest<Req>,
{
    /// What becomes of the call after `result`.
    #[inline]
    pub(super) fn judge(&self, result: &Result<S::Response, S::Error>) -> Verdict {
        match &*self.again {
            Some(request) => self.judge.judge(request, result.as_ref()),
            None => self.judge.judge_last(result.as_ref()),
        }
    }

    /// Takes one step after the other, from `step` if that was already taken.
    #[inline(never)]
    pub(super) fn go_on(
        mut self,
        mut step: Option<Poll<Step<S::Response, S::Error>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let held = self.pass.shared();
        let Some(shared) = held.as_ref().and_then(Held::get) else {
            let result = self.outlived(step);
            self.finish();
            return Poll::Ready(result);
        };
        loop {
            let polled = match step.take() {
                Some(polled) => polled,
                None => self.step(cx),
            };
            let polled = match polled {
                Poll::Ready(step) => Poll::Ready(step),
                Poll::Pending => self.time(shared, cx),
            };
            let Poll::Ready(taken) = polled else {
                return Poll::Pending;
            };
            if let ControlFlow::Break(result) = self.take(shared, taken) {
                self.finish();
                return Poll::Ready(result);
            }
        }
    }

    /// Drops all that the call holds: whoever keeps a future that has ended keeps nothing else.
    ///
    /// Not after a success that nothing is to be written down for: that makes such a call a third slower,
    /// for what is dropped with the future as a rule. There the request, the spare and the attempt's own
    /// future stay until then, and a second poll is one of that future.
    fn finish(&mut self) {
        self.enter(State::Ended);
        *self.again = None;
        *self.spare = Spare::NONE;
        *self.schedule = Schedule::Policy;
    }

    /// What the present state waits for, but for the timer.
    #[expect(
        clippy::panic,
        reason = "polling a finished future is the caller's bug"
    )]
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Step<S::Response, S::Error>> {
        match self.state.as_mut().project() {
            StateProjection::Running(future) => future.poll(cx).map(Step::Answered),
            StateProjection::Waiting(_) => Poll::Pending,
            StateProjection::Readying(_) => match self.spare.get() {
                Some(service) => service.poll_ready(cx).map(Step::Ready),
                None => Poll::Ready(Step::Late),
            },
            StateProjection::Ended => panic!("invariant: not polled after it was ready"),
        }
    }

    /// What the timer says while the present state is pending.
    fn time(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Step<S::Response, S::Error>> {
        let until = match *self.until {
            Some(until) => until,
            None => {
                let (config, now) = (shared.config(), Instant::now());
                let end = self.end(&config, now);
                let limit = match &*self.state {
                    State::Running(_) => config.attempt_timeout,
                    State::Waiting(_) | State::Readying(_) | State::Ended => None,
                };
                let until = limit.map_or(end, |limit| after(now, limit).min(end));
                *self.until.insert(until)
            }
        };
        ready!(self.timer.as_mut().poll_at(cx, || until));
        Poll::Ready(match &*self.state {
            State::Waiting(_) => Step::Waited,
            State::Running(_) if self.end.is_some_and(|end| until < end) => Step::TimedOut,
            State::Running(_) | State::Readying(_) | State::Ended => Step::Late,
        })
    }

    fn take(
        &mut self,
        shared: &Shared,
        step: Step<S::Response, S::Error>,
    ) -> Taken<S::Response, S::Error> {
        match step {
            Step::Answered(result) => {
                let verdict = self.judge(&result);
                self.after(shared, verdict, result)
            }
            Step::Judged(verdict, result) => self.after(shared, verdict, result),
            Step::TimedOut => {
                let limit = shared.config().attempt_timeout.unwrap_or_default();
                let error = Rejected::elapsed(limit).into();
                let verdict = match &*self.again {
                    Some(request) => self.judge.judge_elapsed(request, &error),
                    None => Verdict::GiveUp,
                };
                self.after(shared, verdict, Err(error))
            }
            Step::Late => self.late(shared),
            Step::Waited => {
                let failed = self.failed();
                self.enter(State::Readying(failed));
                ControlFlow::Continue(())
            }
            Step::Ready(Err(error)) => {
                // What the last attempt met says more than that there is none after it.
                let error = self.failed().unwrap_or(error);
                self.give_up(shared, Exhausted::Unready, Err(error))
            }
            Step::Ready(Ok(())) => self.begin(shared),
        }
    }

    /// Waits for the next attempt, or ends the call, once an attempt has failed or been refused.
    fn after(
        &mut self,
        shared: &Shared,
        verdict: Verdict,
        result: Result<S::Response, S::Error>,
    ) -> Taken<S::Response, S::Error> {
        if verdict.has_reached(&result) {
            self.pay_in(shared);
        }
        let (asked, paid) = match verdict {
            Verdict::Return(outcome) => {
                shared.ended(outcome);
                return ControlFlow::Break(result);
            }
            Verdict::GiveUp => return self.give_up(shared, Exhausted::Attempts, result),
            Verdict::Retry(failure) => (asked(failure), Some(failure)),
            // Never at once: that the breaker knows no longer wait does not mean that it lets us through.
            Verdict::Wait(wait) => (Some(wait.max(Duration::from_millis(1))), None),
        };
        let (config, now) = (shared.config(), Instant::now());
        // Whoever set a deadline outside ends the call there: nothing is begun that it would cut off.
        let end = self.end(&config, now);
        let end = deadline::current().map_or(end, |outside| outside.min(end));
        let wait = match self.wait(&config, asked, now, end) {
            Ok(wait) => wait,
            Err(why) => return self.give_up(shared, why, result),
        };
        if let (Some(failure), Some(budget)) = (paid, &shared.budget)
            && !budget.try_withdraw_after(failure)
        {
            return self.give_up(shared, Exhausted::Budget, result);
        }
        *self.attempt += 1;
        shared.retry(*self.attempt, wait);
        // An answer is not kept: its body may hold a connection.
        let failed = result.err();
        if wait.is_zero() {
            self.enter(State::Readying(failed));
        } else {
            self.enter(State::Waiting(failed));
            *self.until = Some(after(now, wait));
        }
        ControlFlow::Continue(())
    }

    /// How long to wait for the next attempt, or why there is none.
    fn wait(
        &mut self,
        config: &Config,
        asked: Option<Duration>,
        now: Instant,
        end: Instant,
    ) -> Result<Duration, Exhausted> {
        // Another policy may have come since the request was copied.
        if *self.attempt >= config.attempts {
            return Err(Exhausted::Attempts);
        }
        if asked.is_some_and(|asked| asked > config.max_retry_after) {
            return Err(Exhausted::RetryAfter);
        }
        self.schedule.wait(config, asked, now, end)
    }

    /// The service is ready: sends the request again.
    fn begin(&mut self, shared: &Shared) -> Taken<S::Response, S::Error> {
        // A process that was stopped, or a service that was long in getting ready: a timer that fires late
        // must not begin what nobody waits for any more.
        if self.end.is_some_and(|end| end <= Instant::now()) {
            return self.late(shared);
        }
        if let (Some(request), Some(service)) = (self.again.take(), self.spare.get()) {
            // The last attempt needs no copy.
            if *self.attempt < shared.attempts() {
                *self.again = self.requests.clone_request(&request);
            }
            let attempt = service.call(request);
            self.enter(State::Running(attempt));
        }
        ControlFlow::Continue(())
    }

    /// The time is up: the call ends as its last attempt, when none is running.
    fn late(&mut self, shared: &Shared) -> Taken<S::Response, S::Error> {
        if matches!(&*self.state, State::Running(_)) {
            self.pay_in(shared);
        }
        let limit = shared.config().deadline;
        let error = self.failed();
        let error = error.unwrap_or_else(|| Rejected::elapsed(limit).into());
        self.give_up(shared, Exhausted::Deadline, Err(error))
    }

    /// Ends a call whose failure could have been tried again.
    fn give_up(
        &self,
        shared: &Shared,
        why: Exhausted,
        result: Result<S::Response, S::Error>,
    ) -> Taken<S::Response, S::Error> {
        shared.give_up(*self.attempt, why);
        ControlFlow::Break(result)
    }

    /// Pays into the budget for the call, once.
    fn pay_in(&mut self, shared: &Shared) {
        if std::mem::take(self.owes) {
            shared.pay_in();
        }
    }

    /// The time has been up for long: nobody has polled the call before all handles of the retry were gone
    /// and its deadline after them.
    #[cold]
    fn outlived(
        &mut self,
        step: Option<Poll<Step<S::Response, S::Error>>>,
    ) -> Result<S::Response, S::Error> {
        match (step, self.failed()) {
            (Some(Poll::Ready(Step::Answered(result) | Step::Judged(_, result))), _) => result,
            (_, Some(error)) => Err(error),
            // What the limit was is known no more.
            (_, None) => Err(Rejected::elapsed(Config::DEADLINE).into()),
        }
    }

    /// The error of the last attempt.
    fn failed(&mut self) -> Option<S::Error> {
        match self.state.as_mut().project() {
            StateProjection::Running(_) | StateProjection::Ended => None,
            StateProjection::Waiting(failed) | StateProjection::Readying(failed) => failed.take(),
        }
    }

    fn end(&mut self, config: &Config, now: Instant) -> Instant {
        *self.end.get_or_insert_with(|| end(config, now))
    }

    fn enter(&mut self, state: State<S::Future, S::Error>) {
        self.state.set(state);
        *self.until = None;
        self.timer.as_mut().disarm();
    }
}

fn asked(failure: Failure) -> Option<Duration> {
    match failure {
        Failure::Throttled { retry_after } => retry_after,
        Failure::Permanent | Failure::Transient => None,
    }
}
