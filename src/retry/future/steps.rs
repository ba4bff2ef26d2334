use std::future::Future;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::super::judge::{Judge, Verdict};
use super::super::schedule::{Schedule, end};
use super::super::shared::{Held, Shared};
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
            return Poll::Ready(self.outlived(step));
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
                return Poll::Ready(result);
            }
        }
    }

    /// What the present state waits for, but for the timer.
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<Step<S::Response, S::Error>> {
        match self.state.as_mut().project() {
            StateProjection::Running(future) => future.poll(cx).map(Step::Answered),
            StateProjection::Waiting(_) => Poll::Pending,
            StateProjection::Readying(_) => self.service.poll_ready(cx).map(Step::Ready),
        }
    }

    /// What the timer says while the present state is pending.
    fn time(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Step<S::Response, S::Error>> {
        if !*self.is_armed {
            let (config, now) = (shared.config(), Instant::now());
            let end = self.end(&config, now);
            let limit = match &*self.state {
                State::Running(_) => config.attempt_timeout,
                State::Waiting(_) | State::Readying(_) => None,
            };
            self.arm(limit.map_or(end, |limit| after(now, limit).min(end)));
        }
        let Some(mut timer) = self.timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let at = timer.deadline();
        Poll::Ready(match &*self.state {
            State::Waiting(_) => Step::Waited,
            State::Running(_) if self.end.is_some_and(|end| at < end) => Step::TimedOut,
            State::Running(_) | State::Readying(_) => Step::Late,
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
            Step::Ready(Err(error)) => ControlFlow::Break(Err(error)),
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
        let (asked, paid) = match verdict {
            Verdict::Return => return ControlFlow::Break(result),
            Verdict::GiveUp => return given_up(shared, result),
            Verdict::Retry(failure) => (asked(failure), Some(failure)),
            // Never at once: that the breaker knows no longer wait does not mean that it lets us through.
            Verdict::Wait(wait) => (Some(wait.max(Duration::from_millis(1))), None),
        };
        let (config, now) = (shared.config(), Instant::now());
        // Whoever set a deadline outside ends the call there: nothing is begun that it would cut off.
        let end = self.end(&config, now);
        let end = deadline::current().map_or(end, |outside| outside.min(end));
        let Some(wait) = self.wait(shared, &config, asked, now, end) else {
            return given_up(shared, result);
        };
        if let (Some(failure), Some(budget)) = (paid, &shared.budget)
            && !budget.try_withdraw_after(failure)
        {
            shared.tally().refuse();
            return given_up(shared, result);
        }
        shared.tally().retry(*self.attempt == 1);
        *self.attempt += 1;
        tracing::debug!(name: "bowline.retry.attempt", attempt = *self.attempt, ?wait);
        // An answer is not kept: its body may hold a connection.
        let failed = result.err();
        if wait.is_zero() {
            self.enter(State::Readying(failed));
        } else {
            self.enter(State::Waiting(failed));
            self.arm(after(now, wait));
        }
        ControlFlow::Continue(())
    }

    /// How long to wait for the next attempt; `None` when there is none.
    fn wait(
        &mut self,
        shared: &Shared,
        config: &Config,
        asked: Option<Duration>,
        now: Instant,
        end: Instant,
    ) -> Option<Duration> {
        // Another policy may have come since the request was copied.
        let too_many = *self.attempt >= config.attempts;
        if too_many || asked.is_some_and(|asked| asked > config.max_retry_after) {
            return None;
        }
        let begin = || Box::new(Schedule::new(config, shared.schedule.as_ref()));
        let schedule = self.schedule.get_or_insert_with(begin);
        schedule.wait(asked, now, end)
    }

    /// The service is ready: sends the request again.
    fn begin(&mut self, shared: &Shared) -> Taken<S::Response, S::Error> {
        // A process that was stopped, or a service that was long in getting ready: a timer that fires late
        // must not begin what nobody waits for any more.
        if self.end.is_some_and(|end| end <= Instant::now()) {
            return self.late(shared);
        }
        if let Some(request) = self.again.take() {
            // The last attempt needs no copy.
            if *self.attempt < shared.attempts() {
                *self.again = self.requests.clone_request(&request);
            }
            let attempt = self.service.call(request);
            self.enter(State::Running(attempt));
        }
        ControlFlow::Continue(())
    }

    /// The time is up: the call ends as its last attempt, when none is running.
    fn late(&mut self, shared: &Shared) -> Taken<S::Response, S::Error> {
        let limit = shared.config().deadline;
        let error = self.failed();
        given_up(
            shared,
            Err(error.unwrap_or_else(|| Rejected::elapsed(limit).into())),
        )
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
            StateProjection::Running(_) => None,
            StateProjection::Waiting(failed) | StateProjection::Readying(failed) => failed.take(),
        }
    }

    fn end(&mut self, config: &Config, now: Instant) -> Instant {
        *self.end.get_or_insert_with(|| end(config, now))
    }

    fn enter(&mut self, state: State<S::Future, S::Error>) {
        self.state.set(state);
        *self.is_armed = false;
    }

    fn arm(&mut self, at: Instant) {
        match self.timer.as_mut().as_pin_mut() {
            Some(timer) => timer.reset(at),
            None => self.timer.set(Some(sleep_until(at))),
        }
        *self.is_armed = true;
    }
}

/// Ends a call whose failure could have been tried again.
fn given_up<T, E>(shared: &Shared, result: Result<T, E>) -> Taken<T, E> {
    shared.tally().give_up();
    ControlFlow::Break(result)
}

fn asked(failure: Failure) -> Option<Duration> {
    match failure {
        Failure::Throttled { retry_after } => retry_after,
        Failure::Permanent | Failure::Transient => None,
    }
}
