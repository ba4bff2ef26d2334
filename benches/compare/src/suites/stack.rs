//! Several patterns around one call, as services have them.

use std::time::Duration;

use bowline::breaker::Breaker;
use bowline::pipeline::Pipeline;
use bowline::retry::Retry;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{Layer as _, ServiceBuilder};
use tower_resilience::bulkhead::BulkheadLayer;
use tower_resilience::circuitbreaker::CircuitBreakerLayer;
use tower_resilience::retry::{RetryBudgetBuilder, RetryConfigBuilder};
use tower_resilience::timelimiter::TimeLimiterLayer;

use super::bulkhead::PLACES;
use super::retry::{ATTEMPTS, Attempts};
use super::{Suite, TOWER, TOWER_RESILIENCE, alone};
use crate::bare::Bare;
use crate::measure::{Case, Expected, SHARED};
use crate::report::{OURS, Result};
use crate::subject::{Protected, Subject};

const DEADLINE: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_millis(800);

pub(crate) fn suite() -> Suite {
    let case = |name, subjects| Case {
        name,
        fails_every: None,
        expected: Expected::Passed,
        threads: SHARED,
        subjects,
    };
    Suite {
        name: "stack",
        cases: vec![
            case("retry > breaker", short),
            case(
                "deadline > retry with budget > breaker > bulkhead > attempt timeout",
                whole,
            ),
        ],
        latencies: Vec::new(),
        own: None,
    }
}

fn short(call: Bare) -> Result<Vec<Subject>> {
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline_short(call)?),
        Subject::new(TOWER_RESILIENCE, tower_resilience_short(call)?),
    ])
}

fn whole(call: Bare) -> Result<Vec<Subject>> {
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call)?),
        Subject::new(TOWER, tower(call)),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call)?),
    ])
}

fn bowline_short(call: Bare) -> Result<impl Protected> {
    let retry = Retry::builder().attempts(ATTEMPTS).build()?;
    let breaker = Breaker::builder(OURS).build()?;
    Ok(ServiceBuilder::new()
        .layer(retry.layer())
        .layer(breaker.layer())
        .service(call))
}

fn bowline(call: Bare) -> Result<impl Protected> {
    let pipeline = Pipeline::builder(OURS)
        .deadline(DEADLINE)
        .retry(Retry::builder().attempts(ATTEMPTS).build()?)
        .breaker(Breaker::builder(OURS).build()?)
        .bulkhead_limit(64)
        .attempt_timeout(ATTEMPT)
        .build()?;
    Ok(pipeline.layer().layer(call))
}

fn tower_resilience_short(call: Bare) -> Result<impl Protected> {
    Ok(ServiceBuilder::new()
        .layer(
            RetryConfigBuilder::new()
                .max_attempts(ATTEMPTS as usize)
                .build(),
        )
        .layer(CircuitBreakerLayer::builder().build()?)
        .service(call))
}

fn tower_resilience(call: Bare) -> Result<impl Protected> {
    let budget = RetryBudgetBuilder::new().token_bucket().build()?;
    let retry = RetryConfigBuilder::new().max_attempts(ATTEMPTS as usize);
    let bulkhead = BulkheadLayer::builder().max_concurrent_calls(PLACES);
    let limiter = TimeLimiterLayer::builder;
    Ok(ServiceBuilder::new()
        .layer(limiter().timeout_duration(DEADLINE).build())
        .layer(retry.budget(budget).build())
        .layer(CircuitBreakerLayer::builder().build()?)
        .layer(bulkhead.build()?)
        .layer(limiter().timeout_duration(ATTEMPT).build())
        .service(call))
}

/// It has no breaker: the same without one.
fn tower(call: Bare) -> impl Protected {
    ServiceBuilder::new()
        .layer(TimeoutLayer::new(DEADLINE))
        .layer(RetryLayer::new(Attempts::budgeted()))
        .layer(GlobalConcurrencyLimitLayer::new(PLACES))
        .layer(TimeoutLayer::new(ATTEMPT))
        .service(call)
}
