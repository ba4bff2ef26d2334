//! What bounds a retry: attempts, time, its schedule, copies of the request, its budget.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::budget::RetryBudget;
use bowline::classify::{Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::retry::{Builder, Config, Decision, Retry};
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service as _, ServiceExt, service_fn};

use super::{SECOND, refusal};

const MS: Duration = Duration::from_millis(1);

/// A second between attempts, three of them, ten seconds in all, nothing left to chance.
fn policy() -> Builder {
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
}

fn budget(ratio: f64, floor: u32) -> RetryBudget {
    let budget = RetryBudget::builder("upstream").ratio(ratio).floor(floor);
    let budget = budget.throttled_cost(floor.clamp(1, 2));
    budget.build().expect("a fine policy")
}

/// Fails each time, and says how often it was asked.
async fn fail(retry: &Retry) -> (u32, BoxError) {
    let mut asked = 0;
    let failed = retry.run(|attempt| {
        asked = attempt;
        async move { Err::<(), BoxError>(format!("down {attempt}").into()) }
    });
    let error = failed.await.unwrap_err();
    (asked, error)
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_returns_the_original_error_and_not_its_own() {
    let budget = budget(0.0, 1);
    let retry = policy().budget(budget.clone()).build().unwrap();
    let began = Instant::now();
    let (asked, error) = fail(&retry).await;
    // The second retry comes a second later, when the floor has paid for it.
    assert_eq!((asked, error.to_string()), (3, "down 3".to_owned()));
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert!(budget.try_withdraw(), "and the floor for the next");
    let (asked, error) = fail(&retry).await;
    assert_eq!((asked, error.to_string()), (1, "down 1".to_owned()));
    let spent = budget.snapshot();
    assert_eq!((spent.withdrawn, spent.refused), (3, 1));
    let done = retry.snapshot();
    assert_eq!((done.retried, done.retries), (1, 2));
    assert_eq!((done.given_up, done.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_retries_is_no_larger_than_the_budget() {
    let calls = 1_000;
    let budget = budget(0.2, 10);
    let retry = policy()
        .backoff(Backoff::constant(MS).jitter(Jitter::None))
        .budget(budget.clone());
    let retry = retry.build().unwrap();
    let attempts = Arc::new(AtomicU32::new(0));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..calls {
        let (retry, attempts) = (retry.clone(), Arc::clone(&attempts));
        running.spawn(async move {
            let call = |_| {
                attempts.fetch_add(1, Ordering::SeqCst);
                async { Err::<(), BoxError>("down".into()) }
            };
            assert_eq!(retry.run(call).await.unwrap_err().to_string(), "down");
        });
    }
    running.join_all().await;
    assert_eq!(attempts.load(Ordering::SeqCst), calls + calls / 5 + 10);
    assert_eq!(budget.snapshot().withdrawn, 210);
}

#[tokio::test(start_paused = true)]
async fn there_is_a_budget_unless_it_was_taken_away() {
    let retry = policy().build().unwrap();
    assert_eq!(retry.budget().unwrap().snapshot().balance, 10.0);
    assert!(
        policy()
            .without_budget()
            .build()
            .unwrap()
            .budget()
            .is_none()
    );
}

/// A request that counts its copies.
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_copied_once_for_each_retry_there_may_be_and_not_for_the_last_attempt() {
    for (attempts, fails, copies) in [(1, true, 0), (2, true, 1), (3, true, 2), (3, false, 1)] {
        let retry = policy().attempts(attempts).build().unwrap();
        let service = service_fn(move |_: Counted| async move {
            if fails {
                Err::<(), BoxError>("down".into())
            } else {
                Ok(())
            }
        });
        let count = Arc::new(AtomicU32::new(0));
        let request = Counted(Arc::clone(&count));
        let result = retry.layer().layer(service).oneshot(request).await;
        assert_eq!(result.is_err(), fails);
        assert_eq!(count.load(Ordering::SeqCst), copies, "{attempts}");
    }
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_dropped_before_the_next_one_begins() {
    let retry = policy().attempt_timeout(2 * SECOND).build().unwrap();
    let dropped = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let failed = retry.run(|attempt| {
        assert_eq!(dropped.load(Ordering::SeqCst), attempt - 1);
        let dropped = Dropped(Arc::clone(&dropped));
        async move {
            let _dropped = dropped;
            pending::<Result<(), BoxError>>().await
        }
    });
    let error = failed.await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(2 * SECOND));
    assert_eq!(began.elapsed(), 8 * SECOND, "three attempts and two waits");
    assert_eq!(dropped.load(Ordering::SeqCst), 3);
    assert_eq!(retry.snapshot().given_up, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_a_transient_failure_for_any_classifier() {
    let retry = policy().attempt_timeout(SECOND).build().unwrap();
    let never = |_: Result<&u32, &BoxError>| Outcome::Ignored;
    let answer = retry.run_with(&never, |attempt| async move {
        if attempt == 1 {
            sleep(60 * SECOND).await;
        }
        Ok(attempt)
    });
    assert_eq!(answer.await.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt_that_had_more_time() {
    let retry = policy().attempt_timeout(8 * SECOND).build().unwrap();
    let began = Instant::now();
    let failed = retry.run(|_| pending::<Result<(), BoxError>>());
    let error = failed.await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(10 * SECOND));
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_attempt_is_not_repeated_against_a_veto() {
    let retry = policy().attempt_timeout(SECOND).build().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let service = service_fn(move |_: &'static str| {
        counted.fetch_add(1, Ordering::SeqCst);
        pending::<Result<(), BoxError>>()
    });
    let reads = |request: &&'static str, _: Result<&(), &BoxError>| match *request {
        "get" => Decision::AsClassified,
        _ => Decision::Stop,
    };
    let service = retry.layer().with_predicate(reads).layer(service);
    assert!(service.clone().oneshot("post").await.is_err());
    assert_eq!(asked.swap(0, Ordering::SeqCst), 1);
    assert!(service.oneshot("get").await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_sees_request_and_answer_and_may_force_what_the_classifier_would_not() {
    let retry = policy().build().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let service = service_fn(move |request: u32| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if attempt > 1 {
                Ok(request)
            } else {
                Ok::<_, BoxError>(0)
            }
        }
    });
    let decided = Arc::new(AtomicU32::new(0));
    let decisions = Arc::clone(&decided);
    let seen = move |request: &u32, result: Result<&u32, &BoxError>| {
        decisions.fetch_add(1, Ordering::SeqCst);
        match result {
            Ok(answer) if answer != request => Decision::Retry,
            _ => Decision::AsClassified,
        }
    };
    let service = retry.layer().with_predicate(seen).layer(service);
    assert_eq!(service.oneshot(7).await.unwrap(), 7);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(decided.load(Ordering::SeqCst), 2, "once for each answer");
    let budget = retry.budget().unwrap().snapshot();
    assert_eq!(budget.withdrawn, 1, "a retry that was forced is paid for");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_ones_own_ends_the_attempts_when_it_ends() {
    let waits = || (1..=2).map(|seconds| seconds * SECOND);
    let retry = policy().attempts(10).backoff_fn(waits).build().unwrap();
    for _ in 0..2 {
        let began = Instant::now();
        let (asked, _) = fail(&retry).await;
        assert_eq!((asked, began.elapsed()), (3, 3 * SECOND));
    }
    let late = policy()
        .backoff_fn(|| [SECOND, 9 * SECOND])
        .build()
        .unwrap();
    let began = Instant::now();
    let (asked, _) = fail(&late).await;
    assert_eq!((asked, began.elapsed()), (2, SECOND), "none ends too late");
}

/// Without a runtime there is no timer: asking for one would panic.
#[test]
fn a_wait_of_zero_needs_no_timer_and_does_not_spin() {
    let retry = policy()
        .attempts(4)
        .backoff_fn(|| [Duration::ZERO; 9])
        .build()
        .unwrap();
    let asked = Cell::new(0);
    let mut run = pin!(retry.run(|attempt| {
        asked.set(attempt);
        async { Err::<(), BoxError>("down".into()) }
    }));
    let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready(), "one poll for all attempts");
    assert_eq!(asked.get(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_holds_no_place_of_the_service() {
    let service = service_fn(|fails: bool| async move {
        if fails {
            Err::<(), BoxError>("down".into())
        } else {
            Ok(())
        }
    });
    let limited = ConcurrencyLimitLayer::new(1).layer(service);
    let mut service = policy().build().unwrap().layer().layer(limited);
    let mut other = service.clone();
    service.ready().await.unwrap();
    let mut call = tokio_test::task::spawn(service.call(true));
    assert_pending!(call.poll());
    // The first call waits for its second attempt: the only place is free.
    let mut ready = tokio_test::task::spawn(other.ready());
    assert_ready_ok!(ready.poll());
    drop(ready);
    assert!(other.call(false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn another_policy_holds_for_services_that_are_there_and_a_bad_one_changes_nothing() {
    let retry = policy().build().unwrap();
    let service = service_fn(|_: ()| async { Err::<(), BoxError>("down".into()) });
    let mut service = retry.layer().layer(service);
    let mut config = retry.config();
    config.attempts = 2;
    retry.reconfigure(config).unwrap();
    assert!(service.ready().await.unwrap().call(()).await.is_err());
    assert_eq!(retry.snapshot().retries, 1);

    config.attempts = 0;
    config.deadline = Duration::ZERO;
    let error = retry.reconfigure(config).unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert_eq!(retry.config().attempts, 2);

    // A call on its way has no further attempt from now on.
    let slow = service_fn(|_: ()| async {
        sleep(SECOND).await;
        Err::<(), BoxError>("down".into())
    });
    let mut call = tokio_test::task::spawn(retry.layer().layer(slow).call(()));
    assert_pending!(call.poll());
    config = Config::default();
    config.attempts = 1;
    retry.reconfigure(config).unwrap();
    assert!(call.await.is_err());
    assert_eq!(retry.snapshot().retries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_all_handles_keeps_its_policy() {
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let service = service_fn(|_: ()| async { Err::<(), BoxError>("down".into()) });
            let mut service = policy().build().unwrap().layer().layer(service);
            service.call(())
        })
        .collect();
    // Others that could take their places.
    let others = policy().attempts(1).deadline(MS);
    let _others: Vec<_> = (0..20).map(|_| others.clone().build().unwrap()).collect();
    for call in calls {
        let began = Instant::now();
        assert_eq!(call.await.unwrap_err().to_string(), "down");
        assert_eq!(began.elapsed(), 2 * SECOND, "three attempts");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_retry_costs_the_budget_more() {
    let budget = budget(0.0, 3);
    let retry = policy().budget(budget.clone()).build().unwrap();
    let retry_after = None;
    let throttled =
        |_: Result<&(), &BoxError>| Outcome::Failure(Failure::Throttled { retry_after });
    let call = retry.run_with(&throttled, |_| async { Err::<(), BoxError>("busy".into()) });
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(budget.snapshot().balance, 1.0);
}
