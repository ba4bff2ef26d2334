//! Bulkheads: what it costs to count the calls on their way, far from the limit.

use bowline::bulkhead::Bulkhead;
use tower::Layer as _;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_resilience::bulkhead::BulkheadLayer;

use super::{Suite, TOWER, TOWER_RESILIENCE, alone};
use crate::bare::Bare;
use crate::measure::{Case, Expected, SHARED};
use crate::report::{OURS, Result};
use crate::subject::{Protected, Subject};

pub(super) const PLACES: usize = 64;

pub(crate) fn suite() -> Suite {
    Suite {
        name: "bulkhead",
        cases: vec![Case {
            name: "64 places",
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
        Subject::new(TOWER, tower(call)),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call)?),
    ])
}

fn bowline(call: Bare) -> Result<impl Protected> {
    let bulkhead = Bulkhead::builder(OURS).limit(64).build()?;
    Ok(bulkhead.layer().layer(call))
}

fn tower(call: Bare) -> impl Protected {
    GlobalConcurrencyLimitLayer::new(PLACES).layer(call)
}

fn tower_resilience(call: Bare) -> Result<impl Protected> {
    let builder = BulkheadLayer::builder().max_concurrent_calls(PLACES);
    Ok(builder.build()?.layer(call))
}
