//! What pays for hedges, and what pays in.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use bowline::budget::RetryBudget;
use bowline::error::{BoxError, Rejected};
use bowline::hedge::{Budget, Hedge};
use bowline::retry::Retry;
use tokio::time::advance;

use super::SECOND;
use super::hedge::{Answer, after, down, policy};

/// As many attempts as it holds; a success pays for nothing.
#[derive(Clone)]
struct Purse(Arc<AtomicI32>, Arc<AtomicU32>);

impl Purse {
    fn of(attempts: i32) -> Self {
        Self(Arc::new(AtomicI32::new(attempts)), Arc::default())
    }
}

impl Budget for Purse {
    fn deposit(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn try_withdraw(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) > 0
    }
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_does_not_fail_the_first_attempt() {
    let purse = Purse::of(0);
    let hedge = policy().attempts(4).budget(purse.clone()).build().unwrap();
    let answer = hedge.run(|attempt| after(30, Ok::<_, BoxError>(attempt)));
    assert_eq!(answer.await.unwrap(), 1);
    let snapshot = hedge.snapshot();
    assert_eq!((snapshot.started, snapshot.refused), (0, 1));
    assert_eq!(purse.1.load(Ordering::SeqCst), 1, "the success pays in");
    // Nor is its error replaced.
    let error = hedge.run(|attempt| ready(down(attempt))).await;
    assert_eq!(error.unwrap_err().to_string(), "attempt 1 is down");
    assert_eq!(purse.1.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn each_hedge_is_paid_for() {
    let hedge = policy().attempts(4).budget(Purse::of(2)).build().unwrap();
    let error = hedge.run(|attempt| ready(down(attempt))).await;
    assert!(error.is_err());
    let snapshot = hedge.snapshot();
    assert_eq!((snapshot.started, snapshot.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_budget_shared_with_retries_bounds_both_and_is_paid_into_once() {
    let budget = RetryBudget::builder("both").ratio(0.1).floor(0);
    let budget = budget.build().unwrap();
    let retry = Retry::builder().budget(budget.clone()).build().unwrap();
    let hedge = policy().shared_budget(budget.clone()).build().unwrap();
    while budget.try_withdraw() {}
    let attempts = AtomicU32::new(0);
    let slow = |_| {
        attempts.fetch_add(1, Ordering::SeqCst);
        after(3, Ok::<_, BoxError>(7))
    };
    assert_eq!(retry.run(|_| hedge.run(slow)).await.unwrap(), 7);
    assert_eq!((attempts.into_inner(), hedge.snapshot().refused), (1, 1));
    // Ten calls pay for one further attempt, not for two.
    for _ in 0..9 {
        let quick = retry.run(|_| hedge.run(|_| ready(Ok::<_, BoxError>(7))));
        quick.await.unwrap();
    }
    assert!(budget.try_withdraw());
    assert!(!budget.try_withdraw());
}

/// A hedge as it comes, around a service that is down or up.
fn default() -> Hedge {
    Hedge::builder("upstream").build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_is_not_sent_twice_the_calls() {
    let hedge = default();
    let attempts = AtomicU32::new(0);
    for _ in 0..1_000 {
        let call = |attempt| {
            attempts.fetch_add(1, Ordering::SeqCst);
            ready(down(attempt))
        };
        assert!(hedge.run(call).await.is_err());
    }
    // The floor of a second, and nothing for calls that fail.
    assert_eq!(attempts.into_inner(), 1_010);
    let free = Hedge::builder("upstream").without_budget();
    assert!(free.build().unwrap().budget().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_becomes_slow_gets_a_tenth_more_calls() {
    let hedge = default();
    for _ in 0..1_000 {
        hedge.run(|_| ready(Answer::Ok(1))).await.unwrap();
    }
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let hedge = hedge.clone();
        slow.spawn(async move { hedge.run(|_| after(3, Answer::Ok(1))).await.unwrap() });
    }
    slow.join_all().await;
    let seen = hedge.snapshot();
    assert_eq!((seen.started, seen.refused), (110, 890));
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_refused_inside_pay_for_no_hedges() {
    let hedge = default();
    let budget = hedge.budget().unwrap();
    while budget.try_withdraw() {}
    for _ in 0..1_000 {
        let refused =
            hedge.run(|_| ready(Answer::Err(Rejected::circuit_open("inner", None).into())));
        assert!(refused.await.is_err());
    }
    assert!(!budget.try_withdraw());
    advance(SECOND / 10).await;
    assert!(budget.try_withdraw(), "the floor");
    assert!(!budget.try_withdraw());
}
