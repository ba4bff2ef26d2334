use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, State};
use bowline::bulkhead::Bulkhead;
use bowline::error::{BoxError, Rejected};
use bowline::pipeline::{Config, Pipeline};
use bowline::rate::{Rate, RateLimiter};
use bowline::retry::Retry;
use tokio::time::{Instant, sleep};
use tower::{Layer as _, ServiceBuilder, ServiceExt as _, service_fn};

use super::{SECOND, refusal};

fn retry() -> Retry {
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .build()
        .unwrap()
}

fn breaker() -> Breaker {
    Breaker::builder("billing")
        .consecutive_failures(3)
        .build()
        .unwrap()
}

fn bulkhead(limit: u32) -> Bulkhead {
    Bulkhead::builder("billing").limit(limit).build().unwrap()
}

fn limiter() -> RateLimiter {
    let limiter = RateLimiter::builder("billing").rate(Rate::per_second(1));
    limiter.build().unwrap()
}

/// Calls `pipeline` as a function and as a layer, one after the other.
async fn both<F>(pipeline: &Pipeline, call: impl Fn() -> F) -> [Result<(), BoxError>; 2]
where
    F: Future<Output = Result<(), BoxError>>,
{
    let as_function = pipeline.run(|_attempt| call()).await;
    let service = pipeline.layer().layer(service_fn(|()| call()));
    [as_function, service.oneshot(()).await]
}

#[tokio::test(start_paused = true)]
async fn without_parts_a_call_is_the_call() {
    let pipeline = Pipeline::builder("billing").build().unwrap();
    for result in both(&pipeline, || async { Ok(()) }).await {
        result.unwrap();
    }
    for result in both(&pipeline, || async { Err("down".into()) }).await {
        assert_eq!(result.unwrap_err().to_string(), "down");
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_sees_each_attempt() {
    let pipeline = Pipeline::builder("billing")
        .retry(retry())
        .breaker(breaker());
    let pipeline = pipeline.build().unwrap();
    let failed = pipeline.run(|_| async { Err::<(), BoxError>("down".into()) });
    assert_eq!(failed.await.unwrap_err().to_string(), "down");
    let snapshot = pipeline.snapshot().breaker.unwrap();
    assert_eq!((snapshot.failures, snapshot.state), (3, State::Open));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_too_slow_open_the_breaker() {
    let pipeline = Pipeline::builder("billing")
        .retry(retry())
        .breaker(breaker());
    let pipeline = pipeline.attempt_timeout(SECOND).build().unwrap();
    let slow = service_fn(|()| pending::<Result<(), BoxError>>());
    let error = pipeline.layer().layer(slow).oneshot(()).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(SECOND));
    assert_eq!(pipeline.breaker().unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_attempt_that_is_running_when_it_comes() {
    let limit = Duration::from_millis(2_500);
    let pipeline = Pipeline::builder("billing").deadline(limit).retry(retry());
    let pipeline = pipeline.build().unwrap();
    let asked = AtomicU32::new(0);
    // An attempt of a second, a wait of a second, and half of an attempt.
    let fails_at_first = || {
        let is_first = asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move {
            match is_first {
                true => sleep(SECOND).await,
                false => pending().await,
            }
            Err(BoxError::from("down"))
        }
    };
    for call in [0, 1] {
        let began = Instant::now();
        let result: Result<(), _> = match call {
            0 => pipeline.run(|_attempt| fails_at_first()).await,
            _ => {
                let service = pipeline.layer().layer(service_fn(|()| fails_at_first()));
                service.oneshot(()).await
            }
        };
        assert_eq!(*refusal(&result.unwrap_err()), Rejected::elapsed(limit));
        assert_eq!(began.elapsed(), limit);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_deadline_would_cut_off_is_not_begun() {
    let pipeline = Pipeline::builder("billing")
        .deadline(Duration::from_millis(2_500))
        .retry(retry())
        .attempt_timeout(2 * SECOND)
        .build()
        .unwrap();
    for call in [true, false] {
        let began = Instant::now();
        let result = match call {
            true => pipeline.run(|_attempt| pending()).await,
            false => {
                let service = pipeline.layer().layer(service_fn(|()| pending()));
                service.oneshot(()).await
            }
        };
        let error: BoxError = Result::<(), _>::unwrap_err(result);
        assert_eq!(*refusal(&error), Rejected::elapsed(2 * SECOND));
        assert_eq!(began.elapsed(), 2 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_and_a_spent_limit_are_no_failures_and_are_not_tried_again() {
    let places = bulkhead(1);
    let taken = places.try_acquire().unwrap();
    let limiter = RateLimiter::builder("billing")
        .rate(Rate::per_second(3))
        .burst(3);
    let pipeline = Pipeline::builder("billing")
        .retry(retry())
        .rate_limit(limiter.build().unwrap())
        .breaker(breaker())
        .bulkhead(places)
        .build()
        .unwrap();
    let began = Instant::now();
    let [first, second] = both(&pipeline, || async { Ok(()) }).await;
    for full in [first, second] {
        let error = full.unwrap_err();
        assert!(
            matches!(refusal(&error), Rejected::BulkheadFull { .. }),
            "{error}"
        );
    }
    drop(taken);
    let [third, fourth] = both(&pipeline, || async { Ok(()) }).await;
    third.unwrap();
    let error = fourth.unwrap_err();
    assert!(
        matches!(refusal(&error), Rejected::RateLimited { .. }),
        "{error}"
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    let snapshot = pipeline.snapshot().breaker.unwrap();
    assert_eq!((snapshot.failures, snapshot.state), (0, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_by_the_breaker_takes_no_place() {
    let breaker = breaker();
    breaker.force_open();
    let asked = Arc::new(AtomicU32::new(0));
    // The one place is taken: who asked for it first would be told so.
    let places = bulkhead(1);
    let taken = places.try_acquire().unwrap();
    let pipeline = Pipeline::builder("billing")
        .breaker(breaker)
        .bulkhead(places);
    let pipeline = pipeline.build().unwrap();
    let counted = || {
        asked.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    };
    for result in both(&pipeline, counted).await {
        assert!(matches!(
            refusal(&result.unwrap_err()),
            Rejected::CircuitOpen { .. }
        ));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let places = pipeline.snapshot().bulkhead.unwrap();
    assert_eq!((places.rejected, places.running), (0, 1));
    drop(taken);
}

#[tokio::test(start_paused = true)]
async fn what_the_rate_limit_rejects_is_not_seen_by_the_breaker_and_takes_no_place() {
    let spent = RateLimiter::builder("billing").rate(Rate::per_minute(1));
    let spent = spent.burst(1).build().unwrap();
    spent.try_acquire().unwrap();
    let breaker = breaker();
    breaker.force_open();
    let places = bulkhead(1);
    let _taken = places.try_acquire().unwrap();
    let pipeline = Pipeline::builder("billing")
        .rate_limit(spent)
        .breaker(breaker)
        .bulkhead(places)
        .build()
        .unwrap();
    for result in both(&pipeline, || async { Ok(()) }).await {
        let error = result.unwrap_err();
        assert!(
            matches!(refusal(&error), Rejected::RateLimited { .. }),
            "{error}"
        );
    }
    let seen = pipeline.snapshot();
    assert_eq!(seen.breaker.unwrap().rejected, 0);
    assert_eq!(seen.bulkhead.unwrap().rejected, 0);
}

#[test]
fn every_wrong_order_and_every_part_that_comes_twice_is_refused() {
    let with = |stage: &str, builder: bowline::pipeline::Builder| match stage {
        "deadline" => builder.deadline(SECOND),
        "retry" => builder.retry(retry()),
        "rate limit" => builder.rate_limit(limiter()),
        "breaker" => builder.breaker(breaker()),
        "bulkhead" => builder.bulkhead_limit(1),
        "attempt timeout" => builder.attempt_timeout(SECOND),
        other => panic!("no stage {other}"),
    };
    let stages = [
        "deadline",
        "retry",
        "rate limit",
        "breaker",
        "bulkhead",
        "attempt timeout",
    ];
    for (outer, outside) in stages.iter().zip(0..) {
        for (inner, inside) in stages.iter().zip(0..) {
            let builder = with(inner, with(outer, Pipeline::builder("billing")));
            let built = builder.build();
            if outside < inside {
                built.unwrap();
                continue;
            }
            let error = built.unwrap_err();
            let problem = &error.problems()[0];
            assert_eq!(problem.field, "order");
            let expected = match outside == inside {
                true => format!("{inner} twice"),
                false => format!("{inner} inside {outer}: "),
            };
            assert!(problem.value.starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn nonsense_is_refused_with_all_problems_at_once() {
    let error = Pipeline::builder("billing")
        .bulkhead_limit(0)
        .attempt_timeout(2 * SECOND)
        .deadline(SECOND)
        .build()
        .unwrap_err();
    let fields: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| &*problem.field)
        .collect();
    assert_eq!(fields, ["order", "attempt_timeout", "bulkhead.limit"]);

    let config: Config = serde_json::from_str(
        r#"{"deadline": "0s", "retry": {"attempts": 0}, "breaker": {"probes": 0},
            "bulkhead": {"limit": 0}, "rate_limit": null}"#,
    )
    .unwrap();
    let error = Pipeline::from_config("billing", config).unwrap_err();
    let fields: Vec<_> = error
        .problems()
        .iter()
        .map(|problem| &*problem.field)
        .collect();
    assert_eq!(
        fields,
        [
            "deadline",
            "retry.attempts",
            "breaker.probes",
            "bulkhead.limit"
        ]
    );
}

#[test]
fn the_standard_is_plain_data_and_fine() {
    let text = serde_json::to_string(&Config::standard()).unwrap();
    let config: Config = serde_json::from_str(&text).unwrap();
    assert_eq!(config, Config::standard());
    let snapshot = Pipeline::from_config("billing", config).unwrap().snapshot();
    assert_eq!(&*snapshot.breaker.unwrap().name, "billing");
    assert_eq!(&*snapshot.bulkhead.unwrap().name, "billing");
    assert!(serde_json::from_str::<Config>(r#"{"retries": 3}"#).is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_an_open_breaker_unless_the_retry_takes_no_such_long_wait() {
    let policy = |max_retry_after: &str| -> Config {
        let text = format!(
            r#"{{"deadline": "10s",
                "retry": {{"max_retry_after": "{max_retry_after}",
                    "backoff": {{"growth": "constant", "base": "1s", "jitter": "none"}}}},
                "breaker": {{"consecutive_failures": 1,
                    "open_for": {{"growth": "constant", "base": "5s", "jitter": "none"}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    for (max_retry_after, waited) in [("30s", 5 * SECOND), ("4s", Duration::ZERO)] {
        let pipeline = Pipeline::from_config("billing", policy(max_retry_after)).unwrap();
        let breaker = pipeline.breaker().unwrap();
        let failed = breaker.call(|| async { Err::<(), BoxError>("down".into()) });
        failed.await.unwrap_err();
        let began = Instant::now();
        let result = pipeline.run(|_attempt| async { Ok::<_, BoxError>(()) });
        assert_eq!(result.await.is_ok(), !waited.is_zero());
        assert_eq!(began.elapsed(), waited);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_around_a_pipeline_goes_with_a_box_between_them() {
    let limit = Duration::from_millis(2_500);
    let outer = Pipeline::builder("gateway").deadline(limit).retry(retry());
    let outer = outer.build().unwrap();
    let inner = Pipeline::builder("billing").breaker(breaker());
    let inner = inner.attempt_timeout(SECOND).build().unwrap();
    let slow = service_fn(|()| pending::<Result<(), BoxError>>());
    let service = outer.layer().layer(inner.layer().layer(slow).boxed_clone());
    let service = ServiceBuilder::new().concurrency_limit(1).service(service);
    // Ended by the inner one, tried again by the outer one, and ended by its deadline in the second attempt.
    let began = Instant::now();
    let error = tokio::spawn(service.oneshot(())).await.unwrap();
    let error = error.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(limit));
    assert_eq!(began.elapsed(), limit);
    assert_eq!(inner.snapshot().breaker.unwrap().failures, 1);
}
