//! A retry storm: a backend that fails altogether, a thousand callers, three attempts each; once with
//! attempts as the only bound, once with a budget.
//!
//! Run with `cargo run --example retry_budget`. It needs no server, and no time: waits are simulated.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::budget::RetryBudget;
use bowline::error::BoxError;
use bowline::retry::{Builder, Retry};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};

const CALLERS: u32 = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tokio::time::pause();
    fastrand::seed(7);

    let policy = Retry::builder()
        .attempts(3)
        .backoff(Backoff::exponential(Duration::from_millis(10)).cap(Duration::from_millis(20)));

    println!("{CALLERS} callers, 3 attempts each, a backend that always fails");
    let attempts = storm(policy.clone().without_budget()).await?;
    println!("without a budget: {}", amplification(attempts));
    assert_eq!(attempts, 3 * CALLERS);

    // A retry for ten calls, and none for free.
    let budget = RetryBudget::builder("backend")
        .ratio(0.1)
        .floor(0)
        .build()?;
    let attempts = storm(policy.budget(budget.clone())).await?;
    println!("with a budget of 0.1: {}", amplification(attempts));
    assert_eq!(attempts, CALLERS + CALLERS / 10);

    let spent = budget.snapshot();
    println!("the budget granted {} retries", spent.withdrawn);
    println!("and refused {}", spent.refused);
    assert_eq!(spent.withdrawn, 100);
    Ok(())
}

/// All callers at once; returns how many attempts the backend saw.
async fn storm(policy: Builder) -> Result<u32, BoxError> {
    let attempts = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&attempts);
    let backend = service_fn(move |_caller: u32| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), BoxError>("down".into()) }
    });
    let client = policy.build()?.layer().layer(backend);
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        calls.spawn(client.clone().oneshot(caller));
    }
    while let Some(ended) = calls.join_next().await {
        // Out of budget or not, a caller sees the backend's own error.
        let error = ended?.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("down"));
    }
    Ok(attempts.load(Ordering::Relaxed))
}

fn amplification(attempts: u32) -> String {
    let factor = f64::from(attempts) / f64::from(CALLERS);
    format!("{attempts} attempts, {factor:.2} for each call")
}
