//! Under fire: programs, or the broker, are killed at random moments under load and started again. Every
//! committed task has exactly one notification of each kind, none without a task, in order.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "the test drives real processes, in real time, and reports by panicking"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_test_services::{Kafka, Redis};
use serde_json::Value;
use todo_e2e::{Broker, Client, Cluster, Mode, eventually, kafka_url};

const TASKS: usize = 12;

#[test]
fn fifty_embedded_runs_lose_and_double_nothing() {
    // One system lives through all rounds, so that each also starts on what earlier kills left.
    under_fire(Mode::Embedded, 0..50, 2);
}

#[test]
fn ten_runs_on_kafka_lose_and_double_nothing() {
    under_fire(Mode::Distributed(Broker::Kafka), 100..110, 4);
}

#[test]
fn ten_runs_on_redis_lose_and_double_nothing() {
    under_fire(Mode::Distributed(Broker::Redis), 200..210, 4);
}

#[test]
fn a_redis_broker_that_is_killed_and_restarted_loses_and_doubles_nothing() {
    // As an operator sets it up who wants to keep what was acknowledged also when the power fails.
    let durable = [
        "--appendfsync",
        "always",
        "--maxmemory-policy",
        "noeviction",
    ];
    let server = Redis::start_with(&durable).expect("Redis starts");
    let kill = |down| {
        server.kill().expect("killed");
        std::thread::sleep(down);
        server.restart().expect("started again");
    };
    broker_under_fire(Broker::Redis, &server.url(), 300..304, kill);
}

#[test]
fn a_kafka_broker_that_is_killed_and_restarted_loses_and_doubles_nothing() {
    let server = Kafka::start().expect("Kafka starts");
    let kill = |down| {
        server.kill().expect("killed");
        std::thread::sleep(down);
        server.restart().expect("started again");
    };
    broker_under_fire(Broker::Kafka, &kafka_url(&server), 400..402, kill);
}

/// Kills the broker at `url` while clients write, twice per seed.
fn broker_under_fire(
    broker: Broker,
    url: &str,
    seeds: std::ops::Range<u64>,
    kill: impl Fn(Duration),
) {
    let broker = Mode::Distributed(broker);
    let cluster = Cluster::start_with(broker, false, &[("TODO_BROKER", url)]);
    let ada = Client::register(cluster.url(), "ada");
    let mut expected = BTreeMap::new();
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let base = Arc::new(std::sync::Mutex::new(cluster.url().to_owned()));
        let writer = writer(&ada, &base, seed);
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(rng.u64(5..150)));
            kill(Duration::from_millis(rng.u64(0..500)));
        }
        expected.extend(writer.join().expect("the writer ends"));
        check(&ada, &expected, seed);
    }
}

fn under_fire(mode: Mode, seeds: std::ops::Range<u64>, kills: usize) {
    let mut cluster = Cluster::start(mode, false);
    let ada = Client::register(cluster.url(), "ada");
    let mut expected = BTreeMap::new();
    for seed in seeds {
        let made = round(&mut cluster, &ada, seed, kills);
        expected.extend(made);
        check(&ada.at(cluster.url()), &expected, seed);
    }
}

/// One round: a writer creates and completes tasks, each request repeated under its key until it is
/// answered, while programs are killed and started again. Returns the tasks by title.
fn round(cluster: &mut Cluster, ada: &Client, seed: u64, kills: usize) -> BTreeMap<String, String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let base = Arc::new(std::sync::Mutex::new(cluster.url().to_owned()));
    let writer = writer(ada, &base, seed);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(rng.u64(5..150)));
        let victims = cluster.victims();
        let victim = victims[rng.usize(..victims.len())];
        cluster.kill(victim);
        std::thread::sleep(Duration::from_millis(rng.u64(0..50)));
        cluster.run(victim);
        *base.lock().expect("not poisoned") = cluster.url().to_owned();
    }
    writer.join().expect("the writer ends")
}

type Base = std::sync::Mutex<String>;
type Writer = std::thread::JoinHandle<BTreeMap<String, String>>;

fn writer(ada: &Client, base: &Arc<Base>, seed: u64) -> Writer {
    let (base, ada) = (Arc::clone(base), ada.clone());
    std::thread::spawn(move || (0..TASKS).map(|n| write(&ada, &base, seed, n)).collect())
}

fn write(ada: &Client, base: &Base, seed: u64, n: usize) -> (String, String) {
    let title = format!("task {n} of seed {seed}");
    let now = || ada.at(&base.lock().expect("not poisoned"));
    let created = eventually(&title, || {
        now()
            .create(&title, &format!("{seed}-{n}"))
            .ok()
            .filter(|a| a.status == 201)
    });
    let id = created.text("id").to_owned();
    eventually(&title, || {
        let path = format!("/api/tasks/{id}/complete");
        now()
            .call("POST", &path, None, &[])
            .ok()
            .filter(todo_e2e::Answer::is_success)
    });
    (title, id)
}

fn check(ada: &Client, expected: &BTreeMap<String, String>, seed: u64) {
    let tasks = ada.all("/api/tasks");
    assert_eq!(tasks.len(), expected.len(), "one task per key, seed {seed}");
    for task in &tasks {
        assert_eq!(
            expected.get(text(task, "title")).map(String::as_str),
            Some(text(task, "id"))
        );
    }
    eventually(&format!("all notifications of seed {seed}"), || {
        (ada.all("/api/notifications").len() >= expected.len() * 2).then_some(())
    });
    // Whatever was sent twice would arrive soon after.
    std::thread::sleep(Duration::from_millis(100));
    let mut per_task: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Newest first on the wire, so the oldest event of a task is the last.
    for notification in ada.all("/api/notifications").iter().rev() {
        per_task
            .entry(text(notification, "task").to_owned())
            .or_default()
            .push(text(notification, "event").to_owned());
    }
    assert_eq!(
        per_task.len(),
        expected.len(),
        "no notification without a task, seed {seed}"
    );
    for id in expected.values() {
        assert_eq!(
            per_task.get(id).map(Vec::as_slice),
            Some(&["task.created".to_owned(), "task.completed".to_owned()][..]),
            "each event once and in order, task {id}, seed {seed}"
        );
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
