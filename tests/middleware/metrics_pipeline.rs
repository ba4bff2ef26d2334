//! What a recorder sees of a pipeline, and of the patterns that have few numbers.

use std::collections::HashMap;
use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

use bowline::chaos::Chaos;
use bowline::classify::Outcome;
use bowline::config::Ratio;
use bowline::deadline::within;
use bowline::error::BoxError;
use bowline::fallback::Fallback;
use bowline::pipeline::{Config, Pipeline};
use bowline::timeout::{Deadline, Timeout};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::SECOND;
use super::metrics::series;

type Answer = Result<(), BoxError>;

/// The counters of `metric` by the name of the pattern, as far as they were ever counted up.
fn named(snapshotter: &Snapshotter, metric: &str) -> HashMap<String, u64> {
    let all = snapshotter.snapshot().into_vec().into_iter();
    all.filter(|(key, ..)| key.key().name() == metric)
        .map(|(key, _, _, value)| {
            let name = key.key().labels().next().expect("a name");
            match value {
                DebugValue::Counter(count) => (name.value().to_owned(), count),
                _ => panic!("a counter was expected"),
            }
        })
        .collect()
}

fn policy() -> Config {
    serde_json::from_str(
        r#"{"deadline": "3s", "attempt_timeout": "2s", "bulkhead": {"limit": 1},
            "rate_limit": {"rate": "1000/s", "burst": 1000}, "breaker": {}, "retry": {"attempts": 1}}"#,
    )
    .unwrap()
}

async fn call(pipeline: &Pipeline, as_layer: bool, call: fn() -> CallOf) -> Answer {
    match as_layer {
        true => {
            let service = pipeline.layer().layer(service_fn(move |()| call()));
            service.oneshot(()).await
        }
        false => pipeline.run(|_attempt| call()).await,
    }
}

type CallOf = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

fn fine() -> CallOf {
    Box::pin(ready(Ok(())))
}

fn down() -> CallOf {
    Box::pin(ready(Err("down".into())))
}

fn hung() -> CallOf {
    Box::pin(pending())
}

fn buggy() -> CallOf {
    Box::pin(async { panic!("a bug") })
}

#[tokio::test(start_paused = true)]
async fn each_call_of_a_pipeline_is_counted_once_by_how_it_ended() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut cx = Context::from_waker(Waker::noop());
    for as_layer in [false, true] {
        let pipeline = Pipeline::from_config("billing", policy()).unwrap();
        for _ in 0..3 {
            call(&pipeline, as_layer, fine).await.unwrap();
        }
        assert!(call(&pipeline, as_layer, down).await.is_err());
        assert!(call(&pipeline, as_layer, hung).await.is_err());
        let mut buggy = Box::pin(call(&pipeline, as_layer, buggy));
        let polled = catch_unwind(AssertUnwindSafe(|| buggy.as_mut().poll(&mut cx)));
        assert!(polled.is_err());
        drop(buggy);
        let mut dropped = Box::pin(call(&pipeline, as_layer, hung));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        assert!(call(&pipeline, as_layer, fine).await.is_err(), "no place");
        drop(dropped);

        let calls = series(&seen, "bowline.pipeline.calls");
        let expected = [
            ("success", 3.0),
            ("failure", 3.0),
            ("rejected", 1.0),
            ("cancelled", 1.0),
            ("ignored", 0.0),
        ];
        let expected = expected.map(|(outcome, count)| (outcome.to_owned(), count));
        assert_eq!(calls, HashMap::from(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_classifier_ignores_is_counted_as_such() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let pipeline = Pipeline::builder("billing").build().unwrap();
    let lost = service_fn(|()| ready(Answer::Err("no such invoice".into())));
    let judge = |result: Result<&(), &BoxError>| match result {
        Ok(()) => Outcome::Success,
        Err(_) => Outcome::Ignored,
    };
    let service = pipeline.layer().with_classifier(judge).layer(lost);
    assert!(service.oneshot(()).await.is_err());
    assert_eq!(series(&seen, "bowline.pipeline.calls")["ignored"], 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_classifier_panics_is_counted_as_a_failure() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut cx = Context::from_waker(Waker::noop());
    let judge = |_: Result<&(), &BoxError>| -> Outcome { panic!("a bug in the classifier") };
    // Without a part that judges, with one, and as a function.
    for (policy, as_layer) in [("{}", true), (r#"{"breaker": {}}"#, true), ("{}", false)] {
        let policy = serde_json::from_str(policy).unwrap();
        let pipeline = Pipeline::from_config("billing", policy).unwrap();
        let service = pipeline.layer().with_classifier(judge);
        let service = service.layer(service_fn(|()| fine()));
        let mut call = Box::pin(async {
            match as_layer {
                true => service.oneshot(()).await,
                false => pipeline.run_with(&judge, |_attempt| fine()).await,
            }
        });
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        assert!(polled.is_err());
        drop(call);
        let calls = series(&seen, "bowline.pipeline.calls");
        assert_eq!(calls["failure"], 1.0, "{calls:?}");
        assert_eq!(calls.values().sum::<f64>(), 1.0, "{calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_parts_of_a_policy_count_under_the_name_of_their_pipeline() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let mut policy = policy();
    let pipeline = Pipeline::from_config("billing", policy.clone()).unwrap();
    assert!(call(&pipeline, true, hung).await.is_err());
    let one = HashMap::from([("billing".to_owned(), 1)]);
    assert_eq!(named(&seen, "bowline.timeout.elapsed"), one);
    policy.attempt_timeout = Some(3 * SECOND);
    policy.deadline = Some(3 * SECOND);
    pipeline.reconfigure(&policy).unwrap();
    let hurried = Deadline::new(SECOND).unwrap();
    assert!(hurried.call(|| call(&pipeline, false, hung)).await.is_err());
    let ended = named(&seen, "bowline.deadline.elapsed");
    let by_name = [("billing", 0), ("deadline", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(ended, HashMap::from(by_name));
    assert!(named(&seen, "bowline.breaker.slow_calls").contains_key("billing"));
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_substituted_and_injected_is_counted() {
    let recorder = DebuggingRecorder::new();
    let seen = recorder.snapshotter();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let timeout = Timeout::named("attempt", SECOND).unwrap();
    let service = timeout.layer().layer(service_fn(|()| hung()));
    assert!(service.oneshot(()).await.is_err());
    assert!(timeout.call(hung).await.is_err());
    timeout.call(fine).await.unwrap();
    assert!(within(SECOND, hung()).await.is_err());
    assert_eq!(named(&seen, "bowline.timeout.elapsed")["attempt"], 2);

    let fallback = Fallback::from_fn("stock", |failed: Answer| match failed {
        Err(error) if error.to_string() == "down" => Ok(()),
        failed => failed,
    });
    fallback.call(down).await.unwrap();
    let lost = fallback.call(|| ready(Answer::Err("lost".into())));
    assert!(lost.await.is_err());
    assert_eq!(named(&seen, "bowline.fallback.used")["stock"], 2);
    let lost = fallback.call(|| ready(Answer::Err("lost".into())));
    assert!(lost.await.is_err());
    // A look begins the count anew.
    assert_eq!(named(&seen, "bowline.fallback.failed")["stock"], 1);

    let chaos = Chaos::builder("billing")
        .error(Ratio::ONE, || BoxError::from("on purpose"))
        .latency(Ratio::ONE, SECOND..SECOND)
        .build()
        .unwrap();
    let enabled = || series(&seen, "bowline.chaos.enabled")[""];
    assert_eq!(enabled(), 0.0);
    chaos.call(fine).await.unwrap();
    chaos.enable();
    assert_eq!(enabled(), 1.0);
    assert!(chaos.call(fine).await.is_err());
    let injected = series(&seen, "bowline.chaos.injected");
    assert_eq!((injected["error"], injected["latency"]), (1.0, 1.0));
    drop(chaos);
    // A look begins the gauge anew.
    assert_eq!(enabled(), -1.0);
}
