//! Outboxes in PostgreSQL whose relays, writers, brokers and servers fail in an order that a seed decides.
//!
//! `BOWLINE_SEEDS=from..to` runs other seeds than the usual ones.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bowline_crash_tests::fire::{
    Call, Engine, Ground, Histories, History, When, in_process, into_kafka, into_memory,
    with_processes,
};
use bowline_test_history::{Verdict, all_fine, seeds};
use bowline_test_services::{Error, Kafka, Postgres, shared};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

/// Whose processes are killed.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bowline-crash-tests");

/// An empty outbox for each seed.
async fn grounds(url: &str, seeds: Range<u64>) -> Vec<(u64, Ground)> {
    let mut grounds = Vec::new();
    for seed in seeds {
        grounds.push((seed, Ground::make(url, seed).await));
    }
    grounds
}

/// Runs all of `grounds`, some at once, and fails if one found something; what they found together.
async fn all<F>(
    test: &str,
    grounds: Vec<(u64, Ground)>,
    at_once: usize,
    histories: &Histories,
    run: impl Fn(Ground, History, u64) -> F,
) -> Verdict
where
    F: Future<Output = Verdict> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(at_once));
    let mut running = JoinSet::new();
    for (seed, ground) in grounds {
        let history = History::default();
        let run = run(ground, history.clone(), seed);
        let (places, histories) = (Arc::clone(&places), Arc::clone(histories));
        running.spawn(async move {
            let _place = places.acquire().await;
            histories.lock().unwrap().push(history);
            // A seed that panics is named too.
            let verdict = tokio::spawn(run).await;
            (seed, verdict.unwrap_or_else(Verdict::panicked))
        });
    }
    let command = format!("cargo test -p bowline-crash-tests --test fire {test}");
    let all = all_fine(&command, running.join_all().await);
    assert!(all.done > 0, "{all}");
    println!("{test}: {all}");
    all
}

/// Relays in this process.
fn of(
    engine: Engine,
) -> impl Fn(Ground, History, u64) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
    move |ground, history, seed| Box::pin(in_process(engine, ground, history, seed))
}

/// Relays in processes, which publish to a broker in a file.
async fn in_processes(engine: Engine, ground: Ground, history: History, seed: u64) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    with_processes(PROGRAM, engine, ground, folder.path(), history, seed).await
}

/// A relay is struck before, in the middle of and after each of its calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outboxes_whose_relays_are_struck_keep_their_promises() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("fire").unwrap();
    let (usual, histories) = (0..200, Histories::default());
    let chosen = seeds(usual.clone());
    let test = "outboxes_whose_relays_are_struck";
    let grounds = grounds(&url, chosen.clone()).await;
    let all = all(test, grounds, 10, &histories, of(Engine::Log)).await;
    assert!(all.repeated > 0, "{all}");
    let histories = histories.lock().unwrap();
    let points: BTreeSet<_> = histories.iter().flat_map(History::points).collect();
    if chosen == usual {
        for call in Call::ALL {
            for when in When::ALL {
                assert!(points.contains(&(call, when)), "{call:?} {when:?}");
            }
        }
    }
}

/// Does something to a server, again and again, until it is aborted. A server that takes long to come back
/// is left in peace the longer.
fn again<F>(pause: Duration, outage: impl Fn(u32) -> F + Send + 'static) -> JoinHandle<()>
where
    F: FnOnce() -> Result<(), Error> + Send + 'static,
{
    tokio::spawn(async move {
        let mut took = Duration::ZERO;
        for round in 0.. {
            sleep(pause.max(3 * took)).await;
            let begun = Instant::now();
            spawn_blocking(outage(round)).await.unwrap().unwrap();
            took = begun.elapsed();
        }
    })
}

/// Kills the server in turn as a whole, as it shuts down immediately, and by one of its processes.
fn outages(server: Arc<Postgres>, pause: Duration, histories: Histories) -> JoinHandle<()> {
    again(pause, move |round| {
        for history in &*histories.lock().unwrap() {
            history.trouble(None);
        }
        let server = Arc::clone(&server);
        move || match round % 3 {
            0 => server.restart(),
            1 => server.quit().and_then(|()| server.restart()),
            _ => kill_one_of(&server),
        }
    })
}

/// The server then ends all of them, and recovers by itself.
fn kill_one_of(server: &Postgres) -> Result<(), Error> {
    let one = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' \
        AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1";
    if let Some(id) = server.query(one)? {
        let killed = Command::new("kill").args(["-s", "KILL", &id]).status();
        killed.expect("kill runs");
    }
    Ok(())
}

async fn own_server() -> (Arc<Postgres>, String) {
    let server = spawn_blocking(Postgres::start).await.unwrap().unwrap();
    let url = server.create_database("fire").unwrap();
    (Arc::new(server), url)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outboxes_whose_server_is_killed_keep_their_promises() {
    let (server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..60)).await, Histories::default());
    let outages = outages(server, Duration::from_secs(3), Arc::clone(&histories));
    let test = "outboxes_whose_server_is_killed";
    let all = all(test, grounds, 10, &histories, of(Engine::Log)).await;
    assert!(all.repeated > 0, "{all}");
    outages.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_whose_relays_are_struck_lose_nothing() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("fire_queue").unwrap();
    let (grounds, histories) = (grounds(&url, seeds(0..40)).await, Histories::default());
    let test = "queues_whose_relays_are_struck";
    let all = all(test, grounds, 10, &histories, of(Engine::Queue)).await;
    assert!(all.repeated > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outboxes_whose_relays_are_processes_keep_their_promises() {
    let (server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..50)).await, Histories::default());
    let outages = outages(server, Duration::from_secs(10), Arc::clone(&histories));
    let test = "outboxes_whose_relays_are_processes";
    let run = |ground, history, seed| in_processes(Engine::Log, ground, history, seed);
    let all = all(test, grounds, 8, &histories, run).await;
    outages.abort();
    assert!(all.repeated > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_whose_relays_are_struck_keep_their_promises() {
    let (_server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..20)).await, Histories::default());
    let test = "lanes_whose_relays_are_struck";
    let all = all(test, grounds, 4, &histories, of(Engine::Lanes)).await;
    assert!(all.repeated > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_whose_relays_are_processes_keep_their_promises() {
    let (server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..8)).await, Histories::default());
    let outages = outages(server, Duration::from_secs(10), Arc::clone(&histories));
    let test = "lanes_whose_relays_are_processes";
    let run = |ground, history, seed| in_processes(Engine::Lanes, ground, history, seed);
    let all = all(test, grounds, 5, &histories, run).await;
    outages.abort();
    assert!(all.repeated > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_publish_exactly_once_double_nothing_when_their_relays_are_struck() {
    let (_server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..16)).await, Histories::default());
    let test = "lanes_that_publish_exactly_once";
    let run = |ground, history, seed| into_memory(Engine::Lanes, ground, history, seed);
    let all = all(test, grounds, 4, &histories, run).await;
    assert_eq!(all.repeated, 0, "{all}");
}

/// Both servers are killed now and then.
async fn exactly_once(test: &'static str, engine: Engine, usual: Range<u64>) {
    let (server, url) = own_server().await;
    let kafka = Arc::new(spawn_blocking(Kafka::start).await.unwrap().unwrap());
    let (grounds, histories) = (grounds(&url, seeds(usual)).await, Histories::default());
    let outages = [
        outages(server, Duration::from_secs(10), Arc::clone(&histories)),
        again(Duration::from_secs(15), {
            let kafka = Arc::clone(&kafka);
            move |_| {
                let kafka = Arc::clone(&kafka);
                move || kafka.restart()
            }
        }),
    ];
    let run = |ground, history, seed| {
        let servers = kafka.address().to_owned();
        async move {
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            into_kafka(PROGRAM, engine, ground, &servers, at, history, seed).await
        }
    };
    let all = all(test, grounds, 4, &histories, run).await;
    for outages in outages {
        outages.abort();
    }
    assert_eq!(all.repeated, 0, "{all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_relay_exactly_once_double_nothing_when_they_are_killed() {
    let test = "processes_that_relay_exactly_once";
    exactly_once(test, Engine::Log, 0..4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_that_are_relayed_exactly_once_double_nothing_while_their_number_changes() {
    let test = "lanes_that_are_relayed_exactly_once";
    exactly_once(test, Engine::Lanes, 0..3).await;
}
