//! A pipeline made by its policy: each field has its effect, also when it is changed.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use bowline::breaker::State;
use bowline::budget::RetryBudget;
use bowline::error::{BoxError, Rejected};
use bowline::pipeline::{BudgetPolicy, Config, Pipeline};
use bowline::retry::Retry;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize as _, Deserializer};
use tokio::time::{Instant, sleep};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::{SECOND, refusal};

type Answer = Result<(), BoxError>;

fn config(text: &str) -> Config {
    serde_json::from_str(text).unwrap()
}

fn pipeline(text: &str) -> Pipeline {
    Pipeline::from_config("billing", config(text)).unwrap()
}

/// Makes a call of `pipeline` as a function or as a layer.
async fn call<F>(pipeline: &Pipeline, as_layer: bool, call: impl Fn() -> F) -> Answer
where
    F: Future<Output = Answer>,
{
    match as_layer {
        true => {
            let service = pipeline.layer().layer(service_fn(|()| call()));
            service.oneshot(()).await
        }
        false => pipeline.run(|_attempt| call()).await,
    }
}

/// How many attempts a service that is down gets from so many calls.
async fn attempts(pipeline: &Pipeline, as_layer: bool, calls: u32) -> u32 {
    let attempts = Cell::new(0);
    let down = || {
        attempts.set(attempts.get() + 1);
        async { Err(BoxError::from("down")) }
    };
    for _ in 0..calls {
        assert_eq!(
            call(pipeline, as_layer, down)
                .await
                .unwrap_err()
                .to_string(),
            "down"
        );
    }
    attempts.get()
}

#[tokio::test(start_paused = true)]
async fn each_time_that_is_given_ends_a_call() {
    for (text, limit) in [
        (r#"{"deadline": "2s"}"#, 2 * SECOND),
        (r#"{"attempt_timeout": "3s"}"#, 3 * SECOND),
        (r#"{"deadline": "2s", "attempt_timeout": "1s"}"#, SECOND),
        (
            r#"{"retry": {"attempts": 1, "deadline": "4s"}}"#,
            4 * SECOND,
        ),
        (
            r#"{"retry": {"attempts": 1, "attempt_timeout": "1s"}}"#,
            SECOND,
        ),
    ] {
        let pipeline = pipeline(text);
        for as_layer in [false, true] {
            let began = Instant::now();
            let error = call(&pipeline, as_layer, pending).await.unwrap_err();
            assert_eq!(*refusal(&error), Rejected::elapsed(limit), "{text}");
            assert_eq!(began.elapsed(), limit, "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_a_budget_unless_the_file_says_none() {
    let quick = r#""retry": {"attempts": 3, "backoff": {"growth": "constant", "base": "1us", "jitter": "none"}}"#;
    for as_layer in [false, true] {
        // Of 1,000 calls each pays for a fifth of a retry, and ten are free.
        let bounded = pipeline(&format!("{{{quick}}}"));
        assert!((1_000..1_300).contains(&attempts(&bounded, as_layer, 1_000).await));
        let own = pipeline(&format!(r#"{{{quick}, "retry_budget": {{"ratio": 0.5}}}}"#));
        assert!((1_500..1_600).contains(&attempts(&own, as_layer, 1_000).await));
        let without = pipeline(&format!(r#"{{{quick}, "retry_budget": "none"}}"#));
        assert!(without.retry().unwrap().budget().is_none());
        assert_eq!(attempts(&without, as_layer, 1_000).await, 3_000);
    }
    let named = pipeline(&format!("{{{quick}}}"));
    assert_eq!(
        &**named.retry().unwrap().budget().unwrap().name(),
        "billing"
    );
}

#[test]
fn what_is_no_budget_is_refused_and_none_is_read_back_as_none() {
    for bad in [r#""off""#, "0.2", r#"{"percent": 20}"#] {
        let text = format!(r#"{{"retry_budget": {bad}}}"#);
        let error = serde_json::from_str::<Config>(&text).unwrap_err();
        let told = bad.contains("percent") || error.to_string().contains(r#"or "none""#);
        assert!(told, "{error}");
    }
    for text in [
        r#"{"retry_budget": "none"}"#,
        r#"{"retry_budget": {"ratio": 0.3}}"#,
        "{}",
    ] {
        let config = config(text);
        let again = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&again).unwrap(), config);
    }
    let none = config(r#"{"retry_budget": "none"}"#);
    assert_eq!(none.retry_budget, Some(BudgetPolicy::Without));
    assert_eq!(config("{}"), Config::default());
}

#[tokio::test(start_paused = true)]
async fn null_leaves_out_every_part_and_a_budget_that_is_left_out_is_the_default() {
    let nulls = config(
        r#"{"deadline": null, "retry": null, "retry_budget": null, "rate_limit": null, "breaker": null,
            "bulkhead": null, "attempt_timeout": null}"#,
    );
    assert_eq!(nulls, Config::default());
    let retried = pipeline(r#"{"retry": {}, "retry_budget": null}"#);
    let budget = retried.retry().unwrap().budget().unwrap();
    let default = RetryBudget::builder("billing").build().unwrap();
    assert_eq!(budget.snapshot(), default.snapshot());
}

/// JSON that is read as a format which does not say what comes next.
struct Compact<'de>(serde_json::Deserializer<serde_json::de::StrRead<'de>>);

impl<'de> Deserializer<'de> for Compact<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde_json::Error::custom("it does not say what comes"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[test]
fn a_format_that_does_not_describe_itself_can_hold_what_is_said_of_the_budget() {
    let read = |text: &str| {
        BudgetPolicy::deserialize(Compact(serde_json::Deserializer::from_str(text))).unwrap()
    };
    assert_eq!(read(r#""Without""#), BudgetPolicy::Without);
    let named = config(r#"{"retry_budget": {"ratio": 0.3}}"#);
    let bounded = read(r#"{"Bounded": {"ratio": 0.3}}"#);
    assert_eq!(Some(bounded), named.retry_budget);
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_the_file_does_not_name_stays_as_it_is() {
    let built = || RetryBudget::builder("all").ratio(0.05).floor(3).build();
    let (shared, untouched) = (built().unwrap(), built().unwrap());
    let retry = Retry::builder().budget(shared.clone()).build().unwrap();
    let pipeline = Pipeline::builder("billing").retry(retry).build().unwrap();
    assert!(shared.try_withdraw() && untouched.try_withdraw());
    for silent in [
        r#"{"retry": {"attempts": 2}}"#,
        r#"{"retry": {"attempts": 4}, "retry_budget": null}"#,
    ] {
        pipeline.reconfigure(&config(silent)).unwrap();
        // What a budget is worth shows with the time.
        sleep(100 * SECOND).await;
        assert_eq!(shared.snapshot(), untouched.snapshot());
    }
    assert_eq!(pipeline.retry().unwrap().config().attempts, 4);
    let named = config(r#"{"retry": {}, "retry_budget": {"floor": 1, "capacity": 1}}"#);
    pipeline.reconfigure(&named).unwrap();
    sleep(100 * SECOND).await;
    assert_ne!(shared.snapshot(), untouched.snapshot());
    let none = config(r#"{"retry": {}, "retry_budget": "none"}"#);
    pipeline.reconfigure(&none).unwrap_err();

    let retry = Retry::builder().without_budget().build().unwrap();
    let unbounded = Pipeline::builder("billing").retry(retry).build().unwrap();
    let silent = config(r#"{"retry": {"attempts": 2}}"#);
    unbounded.reconfigure(&silent).unwrap();
    unbounded.reconfigure(&none).unwrap();
    assert!(unbounded.retry().unwrap().budget().is_none());
    unbounded.reconfigure(&named).unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_lets_wait_as_long_as_the_file_says() {
    for as_layer in [false, true] {
        let waits = pipeline(r#"{"rate_limit": {"rate": "1/s", "burst": 1, "max_wait": "1s"}}"#);
        let began = Instant::now();
        for _ in 0..3 {
            call(&waits, as_layer, || async { Ok(()) }).await.unwrap();
        }
        assert_eq!(began.elapsed(), 2 * SECOND);

        let none = pipeline(r#"{"rate_limit": {"rate": "1/s", "burst": 2}}"#);
        let began = Instant::now();
        for _ in 0..2 {
            call(&none, as_layer, || async { Ok(()) }).await.unwrap();
        }
        let error = call(&none, as_layer, || async { Ok(()) })
            .await
            .unwrap_err();
        let rejected = Rejected::rate_limited("billing", SECOND);
        assert_eq!(*refusal(&error), rejected);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_the_rate_limit_beyond_its_deadline() {
    let limited = pipeline(
        r#"{"deadline": "2s", "rate_limit": {"rate": "1/m", "burst": 1, "max_wait": "1h"}}"#,
    );
    call(&limited, true, || async { Ok(()) }).await.unwrap();
    for as_layer in [false, true] {
        let began = Instant::now();
        let error = call(&limited, as_layer, || async { Ok(()) })
            .await
            .unwrap_err();
        assert!(
            matches!(refusal(&error), Rejected::RateLimited { .. }),
            "{error}"
        );
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_and_the_bulkhead_are_those_of_the_file() {
    for as_layer in [false, true] {
        let broken = pipeline(r#"{"breaker": {"consecutive_failures": 2}}"#);
        assert_eq!(attempts(&broken, as_layer, 2).await, 2);
        assert_eq!(broken.breaker().unwrap().state(), State::Open);

        let placed = pipeline(r#"{"bulkhead": {"limit": 1, "queue": 1, "max_wait": "3s"}}"#);
        let busy = || async {
            sleep(2 * SECOND).await;
            Ok(())
        };
        let began = Instant::now();
        let (first, second, third) = tokio::join!(
            call(&placed, as_layer, busy),
            call(&placed, as_layer, busy),
            call(&placed, as_layer, busy),
        );
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(
            *refusal(&third.unwrap_err()),
            Rejected::bulkhead_full("billing")
        );
        assert_eq!(began.elapsed(), 4 * SECOND);
    }
}

const ALL: &str = r#"{"deadline": "2s", "retry": {"attempts": 1}, "rate_limit": {"rate": "100/s", "burst": 100},
    "breaker": {"consecutive_failures": 3}, "bulkhead": {"limit": 2}, "attempt_timeout": "1s"}"#;

#[tokio::test(start_paused = true)]
async fn another_policy_reaches_each_part_and_what_it_has_seen_stays() {
    let pipeline = pipeline(ALL);
    let mut service = pipeline
        .layer()
        .layer(service_fn(|seconds: u32| async move {
            sleep(SECOND * seconds).await;
            Err::<(), BoxError>("down".into())
        }));
    for _ in 0..2 {
        assert!(service.ready().await.unwrap().call(0).await.is_err());
    }
    let new = config(
        r#"{"deadline": "20s", "retry": {"attempts": 2, "backoff": {"growth": "constant", "base": "1s", "jitter": "none"}},
            "retry_budget": {"ratio": 0.0, "floor": 1, "capacity": 1, "throttled_cost": 1}, "rate_limit": {"rate": "1/s", "burst": 5},
            "breaker": {"consecutive_failures": 4}, "bulkhead": {"limit": 7}, "attempt_timeout": "5s"}"#,
    );
    pipeline.reconfigure(&new).unwrap();

    // The third failure in a row opened the old one; the fourth, the retry, opens the new one.
    let began = Instant::now();
    let error = service.ready().await.unwrap().call(4).await.unwrap_err();
    assert_eq!(error.to_string(), "down");
    assert_eq!(began.elapsed(), 9 * SECOND);
    let seen = pipeline.snapshot();
    assert_eq!(seen.breaker.unwrap().state, State::Open);
    assert_eq!(seen.rate_limit.unwrap().burst, 5);
    assert_eq!(seen.bulkhead.unwrap().limit, 7);
    let budget = pipeline.retry().unwrap().budget().unwrap().snapshot();
    assert!(budget.balance <= 1.0 && budget.withdrawn == 1);
    pipeline.breaker().unwrap().reset();

    let began = Instant::now();
    let error = service.ready().await.unwrap().call(60).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(5 * SECOND));
    assert!(began.elapsed() < 20 * SECOND);
    assert_eq!(pipeline.deadline().unwrap().config().limit, 20 * SECOND);
    assert_eq!(
        pipeline.attempt_timeout().unwrap().config().limit,
        5 * SECOND
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_does_not_fit_changes_nothing_and_all_that_is_wrong_is_told() {
    let fields = |refused: Result<(), bowline::config::ConfigError>| -> Vec<String> {
        let error = refused.unwrap_err();
        let problems = error.problems().iter();
        problems.map(|problem| problem.field.clone()).collect()
    };
    let whole = pipeline(ALL);
    let mut wrong = config(ALL);
    wrong.deadline = Some(9 * SECOND);
    wrong.retry_budget = Some(BudgetPolicy::Without);
    wrong.breaker = None;
    wrong.attempt_timeout = None;
    wrong.bulkhead.as_mut().unwrap().limit = 0;
    assert_eq!(
        fields(whole.reconfigure(&wrong)),
        [
            "bulkhead.limit",
            "retry_budget",
            "breaker",
            "attempt_timeout"
        ]
    );
    assert_eq!(whole.deadline().unwrap().config().limit, 2 * SECOND);

    let empty = Pipeline::builder("billing").build().unwrap();
    assert_eq!(
        fields(empty.reconfigure(&config(ALL))),
        [
            "deadline",
            "retry",
            "rate_limit",
            "breaker",
            "bulkhead",
            "attempt_timeout"
        ]
    );
    // That it names a budget is nothing without a retry.
    for budget in [r#""none""#, "{}", "null"] {
        let text = format!(r#"{{"retry_budget": {budget}}}"#);
        empty.reconfigure(&config(&text)).unwrap();
    }
    whole.reconfigure(&config(ALL)).unwrap();
}
