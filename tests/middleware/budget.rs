use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bowline::budget::{Config, RetryBudget};
use bowline::classify::Failure;
use bowline::config::Ratio;
use tokio::time::advance;

use super::SECOND;

fn budget(ratio: f64, floor: u32) -> RetryBudget {
    let budget = RetryBudget::builder("upstream").ratio(ratio).floor(floor);
    budget.build().expect("a fine policy")
}

fn granted(budget: &RetryBudget) -> usize {
    (0..).take_while(|_| budget.try_withdraw()).count()
}

/// The threads take turns as they like: whatever they do, what was granted was paid for.
#[test]
fn sixteen_threads_together_get_no_more_than_was_paid_in() {
    const THREADS: u64 = 16;
    const CALLS: u64 = 2_000;
    for (ratio, tenths) in [(0.1, 1), (0.2, 2), (0.3, 3), (0.6, 6), (2.0, 20)] {
        // A floor that comes again with time would make the sum depend on it.
        let config = |capacity| {
            let budget = RetryBudget::builder("upstream").ratio(ratio).floor(0);
            budget.capacity(capacity).ttl(60 * 60 * SECOND)
        };
        let roomy = config(1_000_000).build().unwrap();
        let narrow = config(3).build().unwrap();
        let counts = [AtomicU64::new(0), AtomicU64::new(0)];
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..CALLS {
                        for (budget, count) in [&roomy, &narrow].into_iter().zip(&counts) {
                            budget.deposit();
                            let more = u64::from(budget.try_withdraw());
                            count.fetch_add(more, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let [from_roomy, from_narrow] = counts.map(AtomicU64::into_inner);
        let paid = THREADS * CALLS * tenths / 10;
        assert!(from_narrow <= paid);
        // Each call asked once; what it did not get is still there, to the last.
        let left = granted(&roomy) as u64;
        assert_eq!(from_roomy + left, paid, "{ratio}");
        let snapshot = roomy.snapshot();
        assert_eq!(snapshot.withdrawn, paid);
        assert_eq!(snapshot.refused, THREADS * CALLS - from_roomy + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_is_gone_after_its_time() {
    let budget = budget(0.5, 0);
    for _ in 0..10 {
        budget.deposit();
    }
    advance(9 * SECOND).await;
    assert_eq!(budget.snapshot().balance, 5.0);
    assert!(budget.try_withdraw());
    advance(SECOND).await;
    assert!(!budget.try_withdraw());
    let snapshot = budget.snapshot();
    assert_eq!((snapshot.withdrawn, snapshot.refused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_deposits_is_as_old_as_its_last_and_no_older() {
    let budget = budget(1.0, 0);
    for _ in 0..100_000 {
        budget.deposit();
    }
    advance(8 * SECOND).await;
    for _ in 0..100_000 {
        budget.deposit();
    }
    advance(8 * SECOND).await;
    assert_eq!(budget.snapshot().balance, 1_000.0, "as many as it saves");
    advance(2 * SECOND).await;
    assert_eq!(budget.snapshot().balance, 0.0);
}

#[tokio::test(start_paused = true)]
async fn the_floor_needs_no_deposit_and_is_paid_by_the_second() {
    let budget = budget(0.0, 4);
    assert_eq!(granted(&budget), 4);
    for _ in 0..1_000 {
        budget.deposit();
    }
    assert_eq!(granted(&budget), 0, "a ratio of 0 pays nothing in");
    advance(SECOND / 4).await;
    assert_eq!(granted(&budget), 1);
    advance(60 * SECOND).await;
    assert_eq!(granted(&budget), 4, "a second's worth is kept");
}

#[tokio::test(start_paused = true)]
async fn clones_are_one_budget_and_a_service_that_asked_for_fewer_calls_costs_more() {
    let budget = budget(1.0, 0);
    let clone = budget.clone();
    for _ in 0..3 {
        clone.deposit();
    }
    let retry_after = None;
    assert!(budget.try_withdraw_after(Failure::Throttled { retry_after }));
    assert!(!budget.try_withdraw_after(Failure::Throttled { retry_after }));
    assert!(budget.try_withdraw_after(Failure::Transient));
    assert!(!clone.try_withdraw());
}

#[tokio::test(start_paused = true)]
async fn another_policy_holds_from_now_on_and_a_bad_one_changes_nothing() {
    let budget = RetryBudget::new(Ratio::percent(10));
    assert_eq!(budget.name().as_ref(), RetryBudget::NAME);
    let mut config = Config::default();
    config.floor = 1;
    config.ratio = 2.0;
    budget.reconfigure(config).unwrap();
    assert_eq!(granted(&budget), 1);
    budget.deposit();
    assert_eq!(granted(&budget), 2);
    config.ratio = f64::NAN;
    config.ttl = Duration::ZERO;
    let error = budget.reconfigure(config).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    budget.deposit();
    assert_eq!(granted(&budget), 2);
}
