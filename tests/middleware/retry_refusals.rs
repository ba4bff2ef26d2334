//! What a retry makes of a service that asks for a wait, and of patterns that refuse a call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::Breaker;
use bowline::classify::{Failure, HttpStatus, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::retry::{Builder, Decision, Retry};
use proptest::prelude::*;
use tokio::time::Instant;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{SECOND, refusal};

const MS: Duration = Duration::from_millis(1);

fn policy() -> Builder {
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
}

/// Asks for a wait of `asked` each time; how many attempts there were, and how long it took.
async fn throttled(retry: &Retry, asked: Duration) -> (u32, Duration) {
    let began = Instant::now();
    let mut attempts = 0;
    let throttled = |_: Result<&(), &BoxError>| {
        let retry_after = Some(asked);
        Outcome::Failure(Failure::Throttled { retry_after })
    };
    let run = retry.run_with(&throttled, |attempt| {
        attempts = attempt;
        async { Err::<(), BoxError>("busy".into()) }
    });
    assert!(run.await.is_err());
    (attempts, began.elapsed())
}

/// Refuses each time; how many attempts there were, and how long it took.
async fn refused(retry: &Retry, rejected: &Rejected) -> (u32, Duration) {
    let began = Instant::now();
    let mut attempts = 0;
    let run = retry.run(|attempt| {
        attempts = attempt;
        async { Err::<(), BoxError>(rejected.clone().into()) }
    });
    assert_eq!(refusal(&run.await.unwrap_err()), rejected);
    (attempts, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn jitter_makes_an_asked_wait_longer_and_never_shorter() {
    for jitter in [
        Jitter::Decorrelated,
        Jitter::Equal,
        Jitter::Full,
        Jitter::None,
    ] {
        let backoff = Backoff::exponential(100 * MS).cap(300 * MS).jitter(jitter);
        let retry = policy().attempts(2).backoff(backoff).build().unwrap();
        let mut waits = Vec::new();
        for _ in 0..50 {
            let (attempts, took) = throttled(&retry, SECOND).await;
            if attempts == 2 {
                waits.push(took);
            }
        }
        assert!(waits.len() >= 5, "the budget grants some");
        // A timer may be a millisecond late.
        assert!(
            waits
                .iter()
                .all(|wait| (SECOND..=SECOND + 301 * MS).contains(wait))
        );
        let longest = waits.iter().max().unwrap();
        assert_eq!(
            *longest > SECOND + 2 * MS,
            jitter != Jitter::None,
            "{jitter:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_more_than_is_allowed_is_not_asked_again() {
    let retry = policy().max_retry_after(2 * SECOND).build().unwrap();
    assert_eq!(throttled(&retry, 2 * SECOND).await, (3, 4 * SECOND));
    let beyond = 2 * SECOND + MS;
    assert_eq!(throttled(&retry, beyond).await, (1, Duration::ZERO));
    assert_eq!(throttled(&retry, Duration::MAX).await, (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn jitter_does_not_push_an_asked_wait_past_the_deadline() {
    let backoff = Backoff::constant(5 * SECOND).jitter(Jitter::Equal);
    let retry = policy().attempts(2).backoff(backoff).build().unwrap();
    let (attempts, took) = throttled(&retry, 9 * SECOND).await;
    assert_eq!((attempts, took), (2, 9 * SECOND));
    let (attempts, took) = throttled(&retry, 10 * SECOND).await;
    assert_eq!((attempts, took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_header_is_waited_for() {
    let asked = Arc::new(AtomicU32::new(0));
    let service = service_fn(move |_: ()| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let response = http::Response::builder();
            let response = match first {
                true => response.status(429).header("retry-after", "3 "),
                false => response.status(200),
            };
            Ok::<_, BoxError>(response.body(())?)
        }
    });
    let layer = policy()
        .build()
        .unwrap()
        .layer()
        .with_classifier(HttpStatus);
    let began = Instant::now();
    let response = layer.layer(service).oneshot(()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), began.elapsed()),
        (200, 3 * SECOND)
    );
}

#[tokio::test(start_paused = true)]
async fn refusals_of_inner_patterns_are_not_retried_and_cost_nothing() {
    let retry = policy().build().unwrap();
    for rejected in [
        Rejected::bulkhead_full("inner"),
        Rejected::queue_timeout("inner", SECOND),
        Rejected::rate_limited("inner", MS),
        Rejected::no_instances("inner"),
        // Opened by hand: nobody knows for how long.
        Rejected::circuit_open("inner", None),
    ] {
        let once = (1, Duration::ZERO);
        assert_eq!(refused(&retry, &rejected).await, once, "{rejected}");
    }
    assert_eq!(retry.budget().unwrap().snapshot().withdrawn, 0);
    assert_eq!(retry.snapshot().given_up, 0);

    // An answer that did not come in time is the service's failure.
    let (attempts, _) = refused(&retry, &Rejected::elapsed(SECOND)).await;
    assert_eq!(attempts, 3);
    assert_eq!(retry.budget().unwrap().snapshot().withdrawn, 2);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_may_force_what_a_pattern_refused_and_veto_the_wait_for_a_breaker() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let service = service_fn(move |rejected: Rejected| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { Err::<(), BoxError>(rejected.into()) }
    });
    let predicate = |request: &Rejected, _: Result<&(), &BoxError>| match request {
        Rejected::BulkheadFull { .. } => Decision::Retry,
        _ => Decision::Stop,
    };
    let layer = policy().build().unwrap().layer().with_predicate(predicate);
    let service = layer.layer(service);
    let full = Rejected::bulkhead_full("inner");
    assert!(service.clone().oneshot(full).await.is_err());
    assert_eq!(asked.swap(0, Ordering::SeqCst), 3);
    let open = Rejected::circuit_open("inner", SECOND);
    assert!(service.oneshot(open).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_waited_for_at_no_cost() {
    let wait = Backoff::constant(4 * SECOND).jitter(Jitter::None);
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.open_for(wait).probes(1).build().unwrap();
    breaker
        .try_acquire()
        .unwrap()
        .record(Outcome::Failure(Failure::Transient));
    let retry = policy().build().unwrap();
    let service = ServiceBuilder::new()
        .layer(retry.layer())
        .layer(breaker.layer())
        .service_fn(|_: ()| async { Ok::<_, BoxError>("world") });
    let began = Instant::now();
    assert_eq!(service.oneshot(()).await.unwrap(), "world");
    assert_eq!(began.elapsed(), 4 * SECOND);
    assert_eq!(breaker.snapshot().rejected, 1);
    assert_eq!(retry.budget().unwrap().snapshot().withdrawn, 0);
    assert_eq!(retry.snapshot().retries, 1, "it counts as an attempt");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_stays_open_is_not_waited_for_without_end() {
    let retry = policy().backoff_fn(|| [Duration::ZERO; 9]).build().unwrap();
    // As often as there are attempts, and never at once.
    let zero = Rejected::circuit_open("inner", Duration::ZERO);
    assert_eq!(refused(&retry, &zero).await, (3, 2 * MS));
    let open = Rejected::circuit_open("inner", 3 * SECOND);
    assert_eq!(refused(&retry, &open).await, (3, 6 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_is_open_for_too_long_ends_the_call_at_once() {
    let retry = policy().max_retry_after(5 * SECOND);
    let retry = retry.attempts(9).build().unwrap();
    let at_once = (1, Duration::ZERO);
    let open = |wait| Rejected::circuit_open("inner", wait);
    assert_eq!(refused(&retry, &open(6 * SECOND)).await, at_once);
    // Twice fits into the deadline of ten seconds, three times does not.
    assert_eq!(refused(&retry, &open(4 * SECOND)).await, (3, 8 * SECOND));
    let patient = policy().build().unwrap();
    assert_eq!(refused(&patient, &open(10 * SECOND)).await, at_once);
}

proptest! {
    #[test]
    fn no_call_comes_early_or_ends_late(
        asked in 0u64..8_000, base in 1u64..2_000, attempts in 1u32..8, jitter in 0usize..4, growth in 0usize..4,
    ) {
        let jitters = [Jitter::Decorrelated, Jitter::Equal, Jitter::Full, Jitter::None];
        let grown = [Backoff::constant, Backoff::exponential, Backoff::fibonacci, Backoff::linear];
        let backoff = grown[growth](Duration::from_millis(base)).jitter(jitters[jitter]);
        let retry = policy().attempts(attempts).backoff(backoff).without_budget().build().unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let asked = Duration::from_millis(asked);
        let (made, took) = runtime.block_on(throttled(&retry, asked));
        prop_assert!(made <= attempts);
        prop_assert!(took >= asked * (made - 1));
        prop_assert!(took <= 10 * SECOND);
    }
}
