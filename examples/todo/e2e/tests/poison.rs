//! A poison event, on every broker: it is put aside and holds up nobody, an operator sees it, and after a
//! redrive it is handled once, by those alone who could not handle it.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use serde_json::{Value, json};
use todo_e2e::{Answer, Broker, Client, Cluster, Mode, eventually};

#[test]
fn a_poison_event_is_put_aside_and_redriven_embedded() {
    poison(Mode::Embedded, "SQLite");
}

#[test]
fn a_poison_event_is_put_aside_and_redriven_on_redis() {
    poison(Mode::Distributed(Broker::Redis), "Redis Streams");
}

#[test]
fn a_poison_event_is_put_aside_and_redriven_on_kafka() {
    poison(Mode::Distributed(Broker::Kafka), "Kafka");
}

fn poison(mode: Mode, broker: &str) {
    let cluster = Cluster::start(mode, true);
    let ada = Client::register(cluster.url(), "ada");
    post(&ada, "/api/ops/faults", Some(&json!({"refuse": "poison"})));
    let made = ada.create("poison pill", "one").expect("an answer");
    assert!(made.is_success(), "{made:?}");
    let letter = eventually("a dead letter", || letter(&ada, "open"));
    assert_eq!(letter["event"], "task.created");
    assert!(
        ada.create("harmless", "two")
            .expect("an answer")
            .is_success()
    );
    eventually("the next notification", || {
        (texts(&ada) == ["New task: harmless"]).then_some(())
    });

    post(&ada, "/api/ops/faults", Some(&json!({})));
    let redrive = format!(
        "/api/ops/dead-letters/{}/redrive",
        letter["id"].as_str().expect("an id")
    );
    post(&ada, &redrive, None);
    eventually("a redriven letter", || self::letter(&ada, "redriven"));
    let again = ada.call("POST", &redrive, None, &[]).expect("an answer");
    assert_eq!(again.status, 409, "it was decided: {again:?}");
    let both = ["New task: poison pill", "New task: harmless"];
    eventually("what was redriven", || (texts(&ada) == both).then_some(()));
    // A second copy would come before what happens to the same task later.
    let path = format!("/api/tasks/{}/complete", made.text("id"));
    post(&ada, &path, None);
    let all = ["Done: poison pill", both[0], both[1]];
    eventually("the event after it", || {
        (texts(&ada).len() >= 3).then_some(())
    });
    assert_eq!(texts(&ada), all);
    assert_eq!(operations(&ada)["broker"], broker);
}

fn post(ada: &Client, path: &str, body: Option<&Value>) {
    eventually(path, || {
        let answer = ada.call("POST", path, body, &[]).ok();
        answer.filter(Answer::is_success)
    });
}

/// What the person was told, newest first.
fn texts(ada: &Client) -> Vec<String> {
    let notifications = ada.all("/api/notifications");
    let texts = notifications.iter().filter_map(|one| one["text"].as_str());
    texts.map(str::to_owned).collect()
}

/// The one dead letter, in this state.
fn letter(ada: &Client, state: &str) -> Option<Value> {
    let letters = operations(ada)["dead_letters"].as_array().cloned()?;
    assert!(letters.len() <= 1, "{letters:?}");
    letters.into_iter().find(|letter| letter["state"] == state)
}

fn operations(ada: &Client) -> Value {
    eventually("the operations page", || {
        let answer = ada.call("GET", "/api/ops", None, &[]).ok();
        answer.filter(Answer::is_success)
    })
    .body
}
