//! Circuit breakers: what a call costs that passes, and one that is refused.

use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Builder, Window};
use bowline::config::Ratio;
use failsafe::futures::CircuitBreaker as _;
use failsafe::{FailurePolicy, backoff, failure_policy};
use recloser::{AsyncRecloser, Recloser, RecloserBuilder};
use tower::{Layer as _, service_fn};
use tower_resilience::circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType,
};

use super::{FAILSAFE, RECLOSER, Suite, TOWER_RESILIENCE, alone};
use crate::bare::{self, Bare, Request};
use crate::latency::{self, Latency};
use crate::measure::{ALONE, Case, Expected, SHARED};
use crate::report::{OURS, Result};
use crate::subject::{Protected, Subject, fail, fill};

/// No run sees its end.
const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);
const WINDOW: usize = 100;
const FEW: u64 = 100;
const MANY: u64 = 100_000;

pub(crate) fn suite() -> Suite {
    let case = |name, fails_every, subjects| Case {
        name,
        fails_every,
        expected: Expected::Passed,
        threads: SHARED,
        subjects,
    };
    Suite {
        name: "breaker",
        cases: vec![
            case("closed", None, closed),
            case("closed, 1 failure in 1,000", Some(1_000), closed),
            case("closed, 1 failure in 10", Some(10), closed),
            case("closed, slow calls watched", None, timed),
            Case {
                expected: Expected::Refused,
                ..case("open", None, open)
            },
            Case {
                threads: ALONE,
                ..case("time window of 100 calls", None, few)
            },
            case("time window of 100,000 calls and more", None, many),
        ],
        latencies: vec![Latency {
            name: "open, 64 tasks",
            subjects: open_for_tasks,
        }],
        own: None,
    }
}

fn closed(call: Bare) -> Result<Vec<Subject>> {
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call, Breaker::builder(OURS))?),
        Subject::new(
            RECLOSER,
            recloser(call, Recloser::custom().closed_len(WINDOW)),
        ),
        Subject::new(FAILSAFE, failsafe(call, rate_over_time())),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call, counting())?),
    ])
}

/// The others do not watch for slow calls.
fn timed(call: Bare) -> Result<Vec<Subject>> {
    let ours = Breaker::builder(OURS).slow_calls(Ratio::HALF, SECOND);
    let theirs = counting().slow_call_duration_threshold(SECOND);
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call, ours)?),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call, theirs)?),
    ])
}

fn open(call: Bare) -> Result<Vec<Subject>> {
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline_open(call)?),
        Subject::new(RECLOSER, recloser_open(call)),
        Subject::new(FAILSAFE, failsafe_open(call)),
        Subject::new(TOWER_RESILIENCE, tower_resilience_open(call)?),
    ])
}

fn open_for_tasks(call: Bare) -> Result<Vec<latency::Subject>> {
    Ok(vec![
        latency::Subject::new(bare::NAME, call),
        latency::Subject::new(OURS, bowline_open(call)?),
        latency::Subject::new(RECLOSER, recloser_open(call)),
        latency::Subject::new(FAILSAFE, failsafe_open(call)),
        latency::Subject::new(TOWER_RESILIENCE, tower_resilience_open(call)?),
    ])
}

/// In a loop a window of time would soon hold more than these: the breaker is a new one each time.
#[expect(clippy::expect_used, reason = "the same policy has been built once")]
fn few(call: Bare) -> Result<Vec<Subject>> {
    bowline(call, bowline_over_time())?;
    tower_resilience(call, over_time())?;
    let ours = move || bowline(call, bowline_over_time()).expect("a sound policy");
    let theirs = move || tower_resilience(call, over_time()).expect("a sound policy");
    Ok(vec![
        Subject::renewed(bare::NAME, FEW, move || call),
        Subject::renewed(OURS, FEW, ours),
        Subject::renewed(TOWER_RESILIENCE, FEW, theirs),
    ])
}

fn many(call: Bare) -> Result<Vec<Subject>> {
    let mut ours = bowline(call, bowline_over_time())?;
    fill(&mut ours, MANY);
    let mut theirs = tower_resilience(call, over_time())?;
    fill(&mut theirs, MANY);
    Ok(vec![
        alone(call),
        Subject::new(OURS, ours),
        Subject::new(TOWER_RESILIENCE, theirs),
    ])
}

fn bowline(call: Bare, builder: Builder) -> Result<impl Protected> {
    Ok(builder.build()?.layer().layer(call))
}

fn bowline_over_time() -> Builder {
    Breaker::builder(OURS).window(Window::Time(HOUR))
}

fn bowline_open(call: Bare) -> Result<impl Protected> {
    let open_for = Backoff::constant(HOUR).jitter(Jitter::None);
    let builder = Breaker::builder(OURS).consecutive_failures(1);
    let mut service = bowline(call, builder.open_for(open_for))?;
    fail(&mut service);
    Ok(service)
}

fn recloser(call: Bare, builder: RecloserBuilder) -> impl Protected {
    let breaker = AsyncRecloser::from(builder.error_rate(0.5).build());
    service_fn(move |request: Request| breaker.call(call.answer(request)))
}

/// Its window must be full before a failure opens it.
fn recloser_open(call: Bare) -> impl Protected {
    let builder = Recloser::custom().closed_len(1).open_wait(HOUR);
    let mut service = recloser(call, builder);
    fail(&mut service);
    fail(&mut service);
    service
}

fn failsafe<P>(call: Bare, policy: P) -> impl Protected
where
    P: FailurePolicy + Send + Sync + 'static,
{
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    service_fn(move |request: Request| breaker.call(call.answer(request)))
}

/// It has no window of calls; this is its only rule about a rate.
fn rate_over_time() -> impl FailurePolicy + Send + Sync {
    failure_policy::success_rate_over_time_window(0.5, 20, 10 * SECOND, backoff::constant(HOUR))
}

fn failsafe_open(call: Bare) -> impl Protected {
    let policy = failure_policy::consecutive_failures(1, backoff::constant(HOUR));
    let mut service = failsafe(call, policy);
    fail(&mut service);
    service
}

type TowerResilience = CircuitBreakerConfigBuilder<DefaultClassifier>;

fn tower_resilience(call: Bare, builder: TowerResilience) -> Result<impl Protected> {
    Ok(builder.build()?.layer(call))
}

fn counting() -> TowerResilience {
    CircuitBreakerLayer::builder().sliding_window_size(WINDOW)
}

fn over_time() -> TowerResilience {
    CircuitBreakerLayer::builder()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(HOUR)
        .minimum_number_of_calls(20)
}

fn tower_resilience_open(call: Bare) -> Result<impl Protected> {
    let builder = counting().consecutive_failures(1);
    let mut service = tower_resilience(call, builder.wait_duration_in_open(HOUR))?;
    fail(&mut service);
    Ok(service)
}
