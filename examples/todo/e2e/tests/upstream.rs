//! A slow or dead upstream: the gateway answers in time, its breaker opens, and closes again.
#![allow(
    clippy::disallowed_types,
    clippy::expect_used,
    reason = "the test measures real processes, and reports by panicking"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use todo_e2e::{Answer, Broker, Client, Cluster, Mode, eventually};

/// The gateway's own deadline, and what a busy machine may add.
const IN_TIME: Duration = Duration::from_secs(6);

#[test]
fn a_slow_service_is_cut_off_and_taken_back() {
    let cluster = Cluster::start(Mode::Embedded, true);
    let ada = Client::register(cluster.url(), "ada");
    slow_down(&ada, 30_000);

    let answers = call_until_open(&ada);
    assert!(
        answers.iter().any(|answer| answer.status == 504),
        "some waited for their deadline"
    );
    let refused = answers.last().expect("at least one");
    assert_eq!(
        (refused.status, refused.text("code")),
        (503, "circuit_open")
    );
    assert!(
        refused
            .headers
            .iter()
            .any(|(name, _)| name == "retry-after"),
        "{refused:?}"
    );
    let other = ada
        .call("GET", "/api/notifications", None, &[])
        .expect("an answer");
    assert!(
        other.is_success(),
        "other services are not affected: {other:?}"
    );

    // The fault is mended through the same breaker, so this waits until it lets a probe pass.
    eventually("a mended service", || {
        let mended = ada
            .call("POST", "/api/ops/faults", Some(&json!({})), &[])
            .ok()?;
        mended.is_success().then_some(())
    });
    eventually("a closed breaker", || {
        let answer = ada.call("GET", "/api/tasks", None, &[]).ok()?;
        (answer.is_success() && state(&ada) == "closed").then_some(())
    });
}

#[test]
fn a_dead_service_is_answered_for_in_time() {
    let mut cluster = Cluster::start(Mode::Distributed(Broker::Kafka), false);
    let ada = Client::register(cluster.url(), "ada");
    eventually("a first answer", || {
        ada.call("GET", "/api/tasks", None, &[])
            .ok()
            .filter(Answer::is_success)
    });
    cluster.kill("todo-tasks");
    let answers = call_until_open(&ada);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer.status, 502..=504)),
        "{answers:?}"
    );
    cluster.run("todo-tasks");
    eventually("a closed breaker", || {
        let answer = ada.call("GET", "/api/tasks", None, &[]).ok()?;
        (answer.is_success() && state(&ada) == "closed").then_some(())
    });
}

/// Calls, several at a time, until the breaker is seen open; each answer in time, each failure a
/// problem document.
fn call_until_open(ada: &Client) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..20 {
        let calls: Vec<_> = (0..8)
            .map(|_| {
                let ada = ada.clone();
                std::thread::spawn(move || {
                    let begun = Instant::now();
                    let answer = ada.call("GET", "/api/tasks", None, &[]).expect("an answer");
                    (answer, begun.elapsed())
                })
            })
            .collect();
        for call in calls {
            let (answer, took) = call.join().expect("the call ends");
            assert!(took < IN_TIME, "an answer took {took:?}");
            assert!(answer.is_success() || answer.is_problem(), "{answer:?}");
            answers.push(answer);
        }
        if state(ada) == "open" {
            let begun = Instant::now();
            answers.push(ada.call("GET", "/api/tasks", None, &[]).expect("an answer"));
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "a refusal is quick"
            );
            return answers;
        }
    }
    unreachable!("the breaker never opened: {answers:?}")
}

fn slow_down(ada: &Client, millis: u64) {
    let faults: Value = json!({"delay_ms": millis});
    let answer = ada
        .call("POST", "/api/ops/faults", Some(&faults), &[])
        .expect("an answer");
    assert!(answer.is_success(), "{answer:?}");
}

/// What the operations page shows of the breaker in front of tasks.
fn state(ada: &Client) -> String {
    let view = ada
        .call("GET", "/api/ops", None, &[])
        .expect("an answer")
        .body;
    let breakers = view["breakers"].as_array().cloned().unwrap_or_default();
    breakers
        .iter()
        .find(|breaker| {
            breaker["name"]
                .as_str()
                .is_some_and(|name| name.ends_with(".tasks"))
        })
        .and_then(|breaker| breaker["state"].as_str())
        .unwrap_or_default()
        .to_owned()
}
