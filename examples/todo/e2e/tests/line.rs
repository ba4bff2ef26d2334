//! The line through all of the system: a request becomes a task, an event, one notification, and a
//! live message, under one trace.
#![allow(clippy::expect_used, reason = "a test reports by panicking")]

use bowline_test_services::shared;
use serde_json::Value;
use todo_e2e::{Broker, Client, Cluster, Mode, eventually, kafka_url};

#[test]
fn one_request_sent_twice_makes_one_task_and_one_notification_embedded() {
    the_line(&Cluster::start(Mode::Embedded, false));
}

#[test]
fn one_request_sent_twice_makes_one_task_and_one_notification_in_one_process_on_redis() {
    let redis = shared::redis().expect("Redis starts");
    the_line(&in_one_process("redis", &redis.url()));
}

#[test]
fn one_request_sent_twice_makes_one_task_and_one_notification_in_one_process_on_kafka() {
    let kafka = shared::kafka().expect("Kafka starts");
    the_line(&in_one_process("kafka", &kafka_url(kafka)));
}

#[test]
fn one_request_sent_twice_makes_one_task_and_one_notification_on_kafka() {
    the_line(&Cluster::start(Mode::Distributed(Broker::Kafka), false));
}

#[test]
fn one_request_sent_twice_makes_one_task_and_one_notification_on_redis() {
    the_line(&Cluster::start(Mode::Distributed(Broker::Redis), false));
}

/// One process, with a name of its own on the broker at `url`.
fn in_one_process(name: &str, url: &str) -> Cluster {
    let system = format!("line-{name}-{}", std::process::id());
    let broker = [("TODO_BROKER", url), ("TODO_SYSTEM", &*system)];
    Cluster::start_with(Mode::Embedded, false, &broker)
}

fn the_line(cluster: &Cluster) {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let ada = Client::register(cluster.url(), "ada");
    let eve = Client::register(cluster.url(), "eve");
    let live = ada.events();

    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let send = || {
        let body = serde_json::json!({"title": "water the plants"});
        let headers = [("idempotency-key", "k-1"), ("traceparent", &*traceparent)];
        eventually("the task", || {
            ada.call("POST", "/api/tasks", Some(&body), &headers)
                .ok()
                .filter(|a| a.is_success())
        })
    };
    let (first, second) = (send(), send());
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(
        first.body, second.body,
        "the second answer is the first one again"
    );
    assert_eq!(ada.all("/api/tasks").len(), 1);
    assert_eq!(
        eve.all("/api/tasks").len(),
        0,
        "somebody else's tasks stay hers"
    );

    let event = live.next();
    assert_eq!(event["task"], first.body["id"]);
    assert_eq!(
        event["trace_id"], TRACE,
        "one trace from the request to the last handler"
    );

    let task = first.text("id").to_owned();
    let done = ada
        .call("POST", &format!("/api/tasks/{task}/complete"), None, &[])
        .expect("an answer");
    assert_eq!(done.body["completed"], true);
    assert_eq!(live.next()["task"], first.body["id"]);

    let notifications = ada.all("/api/notifications");
    let of = |event: &str| notifications.iter().filter(|n| n["event"] == event).count();
    assert_eq!(
        (of("task.created"), of("task.completed")),
        (1, 1),
        "{notifications:#?}"
    );
    let created = notifications
        .iter()
        .find(|n| n["event"] == "task.created")
        .expect("there");
    assert_eq!(created["trace_id"], Value::from(TRACE));
    assert_eq!(eve.all("/api/notifications").len(), 0);

    let other = eve
        .call("DELETE", &format!("/api/tasks/{task}"), None, &[])
        .expect("an answer");
    assert_eq!(other.status, 404, "another person's task is not there");
}
