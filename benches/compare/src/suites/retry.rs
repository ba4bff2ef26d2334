//! Retries: what they cost while nothing fails.

use std::future::{Ready, ready};
use std::sync::Arc;

use bowline::retry::{Builder, Retry};
use tower::Layer as _;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::retry::{Policy, RetryLayer};
use tower_resilience::retry::{RetryBudgetBuilder, RetryConfigBuilder};

use super::{Suite, TOWER, TOWER_RESILIENCE, alone};
use crate::bare::{Bare, Error, Request};
use crate::measure::{Case, Expected, SHARED};
use crate::report::{OURS, Result};
use crate::subject::{Protected, Subject};

pub(super) const ATTEMPTS: u32 = 3;

pub(crate) fn suite() -> Suite {
    let case = |name, subjects| Case {
        name,
        fails_every: None,
        expected: Expected::Passed,
        threads: SHARED,
        subjects,
    };
    Suite {
        name: "retry",
        cases: vec![
            case("nothing fails, no budget", without_budget),
            case("nothing fails, with a budget", with_budget),
        ],
        latencies: Vec::new(),
        own: None,
    }
}

fn without_budget(call: Bare) -> Result<Vec<Subject>> {
    let theirs = RetryConfigBuilder::new();
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call, Retry::builder().without_budget())?),
        Subject::new(TOWER, tower(call, Attempts::unlimited())),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call, theirs)),
    ])
}

fn with_budget(call: Bare) -> Result<Vec<Subject>> {
    let budget = RetryBudgetBuilder::new().token_bucket().build()?;
    let theirs = RetryConfigBuilder::new().budget(budget);
    Ok(vec![
        alone(call),
        Subject::new(OURS, bowline(call, Retry::builder())?),
        Subject::new(TOWER, tower(call, Attempts::budgeted())),
        Subject::new(TOWER_RESILIENCE, tower_resilience(call, theirs)),
    ])
}

fn bowline(call: Bare, retry: Builder) -> Result<impl Protected> {
    let retry = retry.attempts(ATTEMPTS).build()?;
    Ok(retry.layer().layer(call))
}

fn tower(call: Bare, policy: Attempts) -> impl Protected {
    RetryLayer::new(policy).layer(call)
}

fn tower_resilience(
    call: Bare,
    builder: RetryConfigBuilder<Request, u64, Error>,
) -> impl Protected {
    builder.max_attempts(ATTEMPTS as usize).build().layer(call)
}

/// A policy as tower's documentation shows it; tower has none ready.
#[derive(Debug, Clone)]
pub(super) struct Attempts {
    left: u32,
    budget: Option<Arc<TpsBudget>>,
}

impl Attempts {
    fn unlimited() -> Self {
        Self {
            left: ATTEMPTS - 1,
            budget: None,
        }
    }

    pub(super) fn budgeted() -> Self {
        Self {
            budget: Some(Arc::default()),
            ..Self::unlimited()
        }
    }
}

impl<E> Policy<Request, u64, E> for Attempts {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request,
        result: &mut std::result::Result<u64, E>,
    ) -> Option<Ready<()>> {
        if result.is_ok() {
            if let Some(budget) = &self.budget {
                budget.deposit();
            }
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let granted = self.budget.as_ref().is_none_or(|budget| budget.withdraw());
        granted.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}
