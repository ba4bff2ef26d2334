//! Rate limiters: what it costs to count the calls of a time, far from the limit.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bowline::rate::Rate;
use governor::{Quota, RateLimiter};
use tower::{Layer as _, service_fn};
use tower_resilience::ratelimiter::RateLimiterLayer;

use super::{GOVERNOR, Suite, TOWER_RESILIENCE, alone};
use crate::bare::{Bare, Error, Request};
use crate::measure::{Case, Expected, SHARED};
use crate::report::{OURS, Result};
use crate::subject::{Protected, Subject};

/// More than two threads can make.
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::new(100_000_000).unwrap();

pub(crate) fn suite() -> Suite {
    Suite {
        name: "rate",
        cases: vec![Case {
            name: "below the limit",
            fails_every: None,
            expected: Expected::Passed,
            threads: SHARED,
            subjects,
        }],
        latencies: Vec::new(),
        own: None,
    }
}

fn subjects(call: Bare) -> Result<Vec<Subject>> {
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call)?),
        Subject::new(GOVERNOR, governor(call)),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call)?),
    ])
}

fn bowline(call: Bare) -> Result<impl Protected> {
    let rate = Rate::per_second(CALLS_PER_SECOND.get());
    Ok(bowline::rate::RateLimiter::builder(OURS)
        .rate(rate)
        .burst(CALLS_PER_SECOND.get())
        .build()?
        .layer()
        .layer(call))
}

/// It has no layer: a user asks it before the call.
fn governor(call: Bare) -> impl Protected {
    let limiter = Arc::new(RateLimiter::direct(Quota::per_second(CALLS_PER_SECOND)));
    service_fn(move |request: Request| {
        let allowed = limiter.check().is_ok();
        async move {
            match allowed {
                true => call.answer(request).await,
                false => Err(Error::Refused),
            }
        }
    })
}

fn tower_resilience(call: Bare) -> Result<impl Protected> {
    let builder = RateLimiterLayer::builder()
        .limit_for_period(CALLS_PER_SECOND.get() as usize)
        .refresh_period(Duration::from_secs(1));
    Ok(builder.build()?.layer(call))
}
