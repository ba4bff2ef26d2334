use std::collections::HashSet;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{self, State};
use bowline::bulkhead::Bulkhead;
use bowline::deadline::within;
use bowline::discovery::client::{DEADLINE, Kind, REQUEST_ID, Sent, USER, deadline};
use bowline::discovery::{Instance, ServiceClient, StaticList};
use bowline::error::{BoxError, Rejected};
use bowline::message::TraceContext;
use bowline::problem::Problem;
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower::Layer;

use crate::support::{Fake, Flaky, answer, client, refused, reset};

#[tokio::test(start_paused = true)]
async fn a_dead_instance_costs_no_failed_call() {
    let fake = Fake::new(|seen| {
        let dead = seen.host == "a";
        async move {
            if dead {
                refused()
            } else {
                answer(StatusCode::OK)
            }
        }
    });
    let client = client(&["a", "b"], &fake).await;
    for _ in 0..20 {
        let response = client.invoke("tasks").post("/api/tasks").send().await;
        assert_eq!(response.expect("answered").status, StatusCode::OK);
    }
    let tried_dead = fake.hosts().iter().filter(|host| *host == "a").count();
    assert_eq!(tried_dead, 10, "round robin goes on");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_goes_to_an_instance_that_was_not_tried() {
    let fake = Fake::new(|_| async { answer(StatusCode::SERVICE_UNAVAILABLE) });
    let client = client(&["a", "b", "c"], &fake).await;
    let response = client
        .invoke("tasks")
        .get("/")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.attempts, 3);
    assert_eq!(fake.hosts().into_iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_may_have_arrived_is_repeated_only_with_a_key() {
    let fake = Fake::new(|_| async { reset() });
    let client = client(&["a", "b"], &fake).await;
    let error = client
        .invoke("tasks")
        .post("/")
        .send()
        .await
        .expect_err("no answer");
    assert_eq!(
        (error.kind(), error.sent()),
        (Kind::Transport, Sent::Unknown)
    );
    assert_eq!(fake.seen().len(), 1);

    let call = client.invoke("tasks").post("/").idempotency_key("k");
    call.send().await.expect_err("no answer");
    assert_eq!(fake.seen().len(), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_caller_is_not_repeated() {
    let fake = Fake::new(|_| async { answer(StatusCode::NOT_FOUND) });
    let client = client(&["a", "b"], &fake).await;
    let response = client
        .invoke("tasks")
        .get("/")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.attempts, 1);
    let error = response.json::<Vec<u8>>().expect_err("not found");
    assert_eq!(error.kind(), Kind::Status(StatusCode::NOT_FOUND));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_service_is_given_up_within_the_deadline() {
    let fake = Fake::new(|_| pending());
    let client = client(&["a", "b"], &fake).await;
    let began = Instant::now();
    let call = client
        .invoke("tasks")
        .get("/")
        .deadline(Duration::from_millis(1500));
    let error = call.send().await.expect_err("too late");
    assert!(
        matches!(error.rejected(), Some(Rejected::Elapsed { .. })),
        "{error:?}"
    );
    assert_eq!(error.sent(), Sent::Unknown);
    assert_eq!(began.elapsed(), Duration::from_millis(1500));
    assert_eq!(Problem::from(&error).status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(
        fake.seen().len(),
        2,
        "one attempt of a second, then the rest"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_nobody_announced_is_refused_at_once() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let client = client(&[], &fake).await;
    let error = client
        .invoke("nobody")
        .get("/")
        .send()
        .await
        .expect_err("nobody");
    assert!(matches!(
        error.rejected(),
        Some(Rejected::NoInstances { .. })
    ));
    let problem = Problem::from(&error);
    assert_eq!(problem.code(), "no_instances");
    assert_eq!(problem.retry_after_seconds(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_carries_user_request_id_deadline_and_a_span_per_attempt() {
    let fake = Fake::new(|_| async { answer(StatusCode::BAD_GATEWAY) });
    let client = client(&["a", "b"], &fake).await;
    let trace = TraceContext::generate();
    let mut incoming = http::HeaderMap::new();
    incoming.insert(USER, "mallory".parse().expect("a value"));
    incoming.insert("accept", "text/html".parse().expect("a value"));
    let call = client.invoke("tasks").get("/").forward(&incoming);
    let sent = call.user("ada").trace(&trace).send().await;
    assert_eq!(sent.expect("an answer").attempts, 3);
    let seen = fake.seen();
    let mut spans = HashSet::new();
    for attempt in &seen {
        assert_eq!(attempt.headers[USER], "ada");
        assert_eq!(attempt.headers["accept"], "text/html");
        assert_eq!(attempt.headers[REQUEST_ID], seen[0].headers[REQUEST_ID]);
        let parent = attempt.headers["traceparent"].to_str().expect("text");
        let parent = TraceContext::parse(parent).expect("well formed");
        assert_eq!(parent.trace_id(), trace.trace_id());
        spans.insert(parent.traceparent().map(str::to_owned));
    }
    assert_eq!(spans.len(), 3);
    let left = |attempt: usize| deadline(&seen[attempt].headers).expect("a deadline");
    assert!(left(0) >= left(2), "{:?}", seen[2].headers[DEADLINE]);
}

#[tokio::test(start_paused = true)]
async fn looking_the_service_up_is_a_part_of_the_deadline() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let registry = Flaky::default();
    registry.hanging.store(true, Ordering::SeqCst);
    let client = ServiceClient::builder(registry, fake).build();
    let client = client.expect("valid");
    let began = Instant::now();
    let calls = (0..5).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let call = client.invoke("tasks").get("/");
            call.deadline(Duration::from_millis(100)).send().await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let error = call.await.expect("no panic").expect_err("too late");
        assert_eq!(Problem::from(&error).code(), "timeout");
        assert_eq!(error.sent(), Sent::No);
    }
    assert_eq!(began.elapsed(), Duration::from_millis(100));
}

/// After a crash the registry lists the dead instance for a while, beside the one that replaced it.
#[tokio::test(start_paused = true)]
async fn an_instance_that_is_gone_does_not_open_the_breaker_for_the_others() {
    let fake = Fake::new(|seen| {
        let dead = seen.host == "dead";
        async move {
            if dead {
                refused()
            } else {
                answer(StatusCode::OK)
            }
        }
    });
    let client = client(&["dead", "live"], &fake).await;
    for _ in 0..200 {
        let response = client.invoke("tasks").post("/api/tasks").send().await;
        assert_eq!(response.expect("answered").status, StatusCode::OK);
    }
    assert_eq!(client.breakers()[0].failures, 0);

    let fake = Fake::new(|_| async { refused() });
    let client = self::client(&["dead", "dead-too"], &fake).await;
    for _ in 0..30 {
        assert!(client.invoke("tasks").get("/").send().await.is_err());
    }
    assert_eq!(client.breakers()[0].state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn more_dead_instances_than_attempts_open_the_breaker() {
    let fake = Fake::new(|_| async { refused() });
    let client = client(&["a", "b", "c", "d", "e", "f", "g"], &fake).await;
    for _ in 0..30 {
        assert!(client.invoke("tasks").get("/").send().await.is_err());
    }
    assert_eq!(client.breakers()[0].state, State::Open);
    let seen = fake.seen().len();
    assert!(seen <= 20 * 3, "the minimum of calls, then none: {seen}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_whoever_calls_bounds_the_call() {
    let limit = Duration::from_millis(200);
    let fake = Fake::new(|_| async {
        sleep(Duration::from_millis(150)).await;
        answer(StatusCode::SERVICE_UNAVAILABLE)
    });
    let client = client(&["a", "b"], &fake).await;
    let began = Instant::now();
    let call = async {
        let sent = client.invoke("tasks").get("/").send().await;
        sent.map_err(BoxError::from)
    };
    assert!(within(limit, call).await.is_err());
    assert_eq!(began.elapsed(), limit);
    let told: Vec<_> = fake
        .seen()
        .iter()
        .filter_map(|seen| deadline(&seen.headers))
        .collect();
    assert_eq!(told[0], limit);
    assert!(told[1] <= Duration::from_millis(50), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_not_sent() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let client = client(&["a"], &fake).await;
    let call = client.invoke("tasks").get("/").deadline(Duration::ZERO);
    let error = call.send().await.expect_err("no time");
    assert_eq!(error.kind(), Kind::Rejected);
    assert_eq!(Problem::from(&error).code(), "timeout");
    assert!(fake.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_built_is_not_sent() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let client = client(&["a"], &fake).await;
    let error = client.invoke("tasks").get("/").user("a\nb").send().await;
    assert_eq!(error.expect_err("refused").kind(), Kind::Invalid);
    let error = client.invoke("tasks").get("no slash").send().await;
    assert_eq!(error.expect_err("refused").kind(), Kind::Invalid);
    assert!(fake.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_left_alone_and_its_breaker_shows() {
    let fake = Fake::new(|_| async { answer(StatusCode::INTERNAL_SERVER_ERROR) });
    let client = client(&["a", "b"], &fake).await;
    let mut refused = 0;
    for _ in 0..30 {
        let answer = client.invoke("tasks").get("/").send().await;
        let Err(error) = answer else { continue };
        assert!(
            matches!(error.rejected(), Some(Rejected::CircuitOpen { .. })),
            "{error:?}"
        );
        assert_eq!(Problem::from(&error).code(), "circuit_open");
        refused += 1;
    }
    assert_eq!(fake.seen().len(), 20, "the minimum of calls, then none");
    assert!(refused >= 23, "{refused}");
    let breakers = client.breakers();
    assert_eq!(breakers.len(), 1);
    assert_eq!(
        (&*breakers[0].name, breakers[0].state),
        ("tasks", State::Open)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_an_attempt_does_not_claim_that_nothing_was_sent() {
    let fake = Fake::new(|_| async { reset() });
    let client = client(&["a", "b"], &fake).await;
    let mut errors = Vec::new();
    for _ in 0..8 {
        errors.push(
            client
                .invoke("tasks")
                .get("/")
                .send()
                .await
                .expect_err("no answer"),
        );
    }
    let [.., cut, refused] = &errors[..] else {
        unreachable!()
    };
    assert_eq!(
        (cut.kind(), cut.sent()),
        (Kind::Rejected, Sent::Unknown),
        "21st attempt"
    );
    assert_eq!((refused.kind(), refused.sent()), (Kind::Rejected, Sent::No));
}

/// Whatever cuts an attempt off, only what may be repeated is.
#[tokio::test(start_paused = true)]
async fn a_post_that_hangs_is_sent_once_whoever_bounds_the_attempt() {
    let fake = Fake::new(|_| pending());
    let registry = StaticList::new([
        Instance::new("tasks", "a:80"),
        Instance::new("tasks", "b:80"),
    ]);
    let mut retry = bowline::retry::Config::default();
    retry.attempt_timeout = Some(Duration::from_millis(200));
    let client = ServiceClient::builder(registry, fake.clone()).retry(retry);
    let client = client.build().expect("a fine policy");
    let call = client.invoke("tasks").post("/api/tasks").send();
    assert!(call.await.is_err());
    assert_eq!(fake.hosts().len(), 1);
    assert_eq!(client.breakers()[0].failures, 1);
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_do_not_open_the_breaker_for_the_others() {
    let fake = Fake::new(|_| async {
        sleep(Duration::from_millis(20)).await;
        answer(StatusCode::OK)
    });
    let client = client(&["a"], &fake).await;
    for _ in 0..100 {
        let hurried = client
            .invoke("tasks")
            .get("/")
            .deadline(Duration::from_millis(5));
        assert!(hurried.send().await.is_err());
    }
    assert_eq!(client.breakers()[0].state, State::Closed);
    assert!(client.invoke("tasks").get("/").send().await.is_ok());
}

/// Less than the time of an attempt is no hurry: when nobody waits for longer, a service that hangs is
/// still found out.
#[tokio::test(start_paused = true)]
async fn callers_with_little_less_time_than_an_attempt_open_the_breaker_of_a_service_that_hangs() {
    let fake = Fake::new(|_| pending());
    let client = client(&["a"], &fake).await;
    for _ in 0..40 {
        let call = client.invoke("tasks").get("/");
        let limited = call.deadline(Duration::from_millis(800));
        assert!(limited.send().await.is_err());
    }
    assert_eq!(client.breakers()[0].state, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_pattern_around_the_transport_is_no_failure_of_the_service() {
    let bulkhead = Bulkhead::builder("connections")
        .limit(1)
        .build()
        .expect("sound");
    let held = bulkhead.try_acquire().expect("sound");
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let registry = StaticList::new([Instance::new("tasks", "a:80")]);
    let transport = bulkhead.layer().layer(fake.clone());
    let client = ServiceClient::builder(registry, transport)
        .build()
        .expect("sound");
    for _ in 0..40 {
        let refused = client
            .invoke("tasks")
            .get("/")
            .send()
            .await
            .expect_err("refused");
        let rejected = refused.rejected();
        assert!(
            matches!(rejected, Some(Rejected::BulkheadFull { .. })),
            "{refused:?}"
        );
    }
    let breaker = &client.breakers()[0];
    assert_eq!((breaker.state, breaker.failures), (State::Closed, 0));
    assert_eq!(
        client.pipelines()[0].retry.as_ref().expect("sound").retries,
        0
    );
    drop(held);
    assert!(client.invoke("tasks").get("/").send().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_rate_limit_as_its_policy_says() {
    let fake = Fake::new(|_| async { answer(StatusCode::OK) });
    let registry = StaticList::new([Instance::new("tasks", "a:80")]);
    let policy =
        r#"{"deadline": "3s", "rate_limit": {"rate": "1/s", "burst": 1, "max_wait": "2s"}}"#;
    let client = ServiceClient::builder(registry, fake.clone());
    let client = client.pipeline(serde_json::from_str(policy).expect("sound"));
    let client = client.build().expect("sound");
    let began = Instant::now();
    for _ in 0..2 {
        assert!(client.invoke("tasks").get("/").send().await.is_ok());
    }
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

/// Also when there would be time to wait until the breaker lets a probe pass.
#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_at_once() {
    let fake = Fake::new(|_| async { answer(StatusCode::INTERNAL_SERVER_ERROR) });
    let registry = StaticList::new([Instance::new("tasks", "a:80")]);
    let mut policy = breaker::Config::default();
    policy.open_for = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::None);
    let client = ServiceClient::builder(registry, fake).breaker(policy);
    let client = client
        .deadline(Duration::from_secs(30))
        .build()
        .expect("sound");
    for _ in 0..20 {
        drop(client.invoke("tasks").get("/").send().await);
    }
    assert_eq!(client.breakers()[0].state, State::Open);
    let began = Instant::now();
    let refused = client.invoke("tasks").get("/").send().await;
    assert!(refused.is_err());
    assert_eq!(began.elapsed(), Duration::ZERO);
}
