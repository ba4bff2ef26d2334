//! Consumers in processes that are killed, stopped for longer than their session, added and told to end,
//! on brokers that are killed and started again, in an order that a seed decides.
//!
//! `BOWLINE_SEEDS=from..to` runs other seeds than the usual ones.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

#[path = "support/group.rs"]
mod group;

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::kafka;
use bowline_crash_tests::consume::{self, Place};
use bowline_test_history::{Log, Verdict, What, all_fine, seeds};
use bowline_test_services::{Error, Kafka, Redis};
use group::Group;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

/// Runs a group for each seed, some at once, and fails if one found something.
async fn all<F>(test: &str, seeds: Range<u64>, at_once: usize, run: impl Fn(u64) -> F)
where
    F: Future<Output = Verdict> + Send + 'static,
{
    // A seed that panics is named too.
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for seed in seeds {
        let (places, run) = (Arc::clone(&places), run(seed));
        running.spawn(async move {
            let _place = places.acquire().await;
            let verdict = tokio::spawn(run).await;
            (seed, verdict.unwrap_or_else(Verdict::panicked))
        });
    }
    let command = format!("cargo test -p bowline-crash-tests --test consumers {test}");
    let all = all_fine(&command, running.join_all().await);
    assert!(all.done > 0 && all.repeated > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_processes_on_a_file_keep_their_promises() {
    all(
        "groups_of_processes_on_a_file",
        seeds(0..20),
        5,
        |seed| async move {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("broker.db");
            let place = Place::Sqlite(file.to_str().unwrap().to_owned());
            let broker = consume::sqlite(place.words()[1], place.session()).await;
            let history = folder.path().join("history");
            let group = Group::new(place, "events".to_owned(), history, &broker, seed).await;
            let subscriber = broker.subscriber();
            group.run(broker, subscriber, 6).await
        },
    )
    .await;
}

/// Logs of the groups that run.
type Logs = Arc<Mutex<Vec<Log>>>;

/// How often a server is killed: what is left to do at the end needs one that stays.
const OUTAGES: usize = 5;

/// Kills a server and starts it again, so many times, or until it is aborted.
fn outages<T: Send + Sync + 'static>(
    server: Arc<T>,
    pause: Duration,
    times: usize,
    logs: Logs,
    kill: fn(&T) -> Result<(), Error>,
    restart: fn(&T) -> Result<(), Error>,
) -> JoinHandle<()> {
    let note = move |what: &What| {
        for log in &*logs.lock().unwrap() {
            log.note(0, what.clone());
        }
    };
    tokio::spawn(async move {
        for _ in 0..times {
            sleep(pause).await;
            note(&What::Down);
            let killed = Arc::clone(&server);
            spawn_blocking(move || kill(&killed))
                .await
                .unwrap()
                .expect("killed");
            sleep(Duration::from_millis(500)).await;
            let begun = Arc::clone(&server);
            let begun = spawn_blocking(move || restart(&begun)).await.unwrap();
            begun.expect("it starts again");
            note(&What::Up);
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_processes_on_kafka_keep_their_promises() {
    let server = spawn_blocking(Kafka::start).await.unwrap();
    let server = Arc::new(server.expect("a broker"));
    let place = Place::Kafka(server.url());
    let config = consume::kafka(&server.url(), place.session());
    let folder = tempfile::tempdir().unwrap();
    let (seeds, logs) = (seeds(0..20), Logs::default());
    let mut groups = Vec::new();
    let topics = kafka::Topics::new(&config).unwrap();
    for seed in seeds.clone() {
        let history = folder.path().join(seed.to_string());
        let topic = format!("events-{seed}");
        groups.push(Group::new(place.clone(), topic, history, &topics, seed).await);
    }
    logs.lock().unwrap().extend(groups.iter().map(Group::log));
    let pause = Duration::from_secs(15);
    let killed = Arc::clone(&server);
    let outages = outages(killed, pause, OUTAGES, logs, Kafka::kill, Kafka::restart);
    let groups = Mutex::new(groups.into_iter().map(Some).collect::<Vec<_>>());
    let first = seeds.start;
    all("groups_of_processes_on_kafka", seeds, 10, |seed| {
        let index = usize::try_from(seed - first).unwrap();
        let group = groups.lock().unwrap()[index].take().unwrap();
        let publisher = kafka::Publisher::new(&config).unwrap();
        let subscriber = kafka::Subscriber::new(&config).unwrap();
        async move { group.run(publisher, subscriber, 5).await }
    })
    .await;
    outages.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_processes_on_redis_keep_their_promises() {
    let server = spawn_blocking(Redis::start).await.unwrap();
    let server = Arc::new(server.expect("a server"));
    let place = Place::Redis(server.url());
    let folder = tempfile::tempdir().unwrap();
    let (seeds, logs) = (seeds(0..10), Logs::default());
    let broker = consume::redis(&server.url(), place.session()).await;
    let mut groups = Vec::new();
    for seed in seeds.clone() {
        let history = folder.path().join(seed.to_string());
        let topic = format!("events-{seed}");
        groups.push(Group::new(place.clone(), topic, history, &broker, seed).await);
    }
    logs.lock().unwrap().extend(groups.iter().map(Group::log));
    let pause = Duration::from_secs(3);
    let killed = Arc::clone(&server);
    let outages = outages(killed, pause, OUTAGES, logs, Redis::kill, Redis::restart);
    let groups = Mutex::new(groups.into_iter().map(Some).collect::<Vec<_>>());
    let first = seeds.start;
    all("groups_of_processes_on_redis", seeds, 5, |seed| {
        let index = usize::try_from(seed - first).unwrap();
        let group = groups.lock().unwrap()[index].take().unwrap();
        let (publisher, subscriber) = (broker.clone(), broker.subscriber());
        async move { group.run(publisher, subscriber, 6).await }
    })
    .await;
    outages.abort();
}
