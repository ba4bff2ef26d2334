//! Outboxes in PostgreSQL whose relays, writers, brokers and servers fail in an order that a seed decides.
//!
//! `BOWLINE_SEEDS=from..to` runs other seeds than the usual ones.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

use std::collections::BTreeSet;
use std::ops::Range;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bowline_crash_tests::fire::{
    Call, Engine, Ground, Histories, History, When, in_process, with_processes,
};
use bowline_test_history::{Verdict, all_fine, seeds};
use bowline_test_services::{Postgres, shared};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::sleep;

/// An empty outbox for each seed.
async fn grounds(url: &str, seeds: Range<u64>) -> Vec<(u64, Ground)> {
    let mut grounds = Vec::new();
    for seed in seeds {
        grounds.push((seed, Ground::make(url, seed).await));
    }
    grounds
}

/// Runs all of `grounds`, some at once, and fails if one found something.
async fn all<F>(
    test: &str,
    grounds: Vec<(u64, Ground)>,
    at_once: usize,
    histories: &Histories,
    run: impl Fn(Ground, History, u64) -> F,
) where
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
    assert!(all.done > 0 && all.repeated > 0, "{all}");
}

fn of_log(ground: Ground, history: History, seed: u64) -> impl Future<Output = Verdict> + Send {
    in_process(Engine::Log, ground, history, seed)
}

fn of_queue(ground: Ground, history: History, seed: u64) -> impl Future<Output = Verdict> + Send {
    in_process(Engine::Queue, ground, history, seed)
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
    all(test, grounds, 10, &histories, of_log).await;
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

/// Kills the server in turn as a whole, as it shuts down immediately, and by one of its processes, until it is
/// aborted.
fn outages(server: Arc<Postgres>, pause: Duration, histories: Histories) -> JoinHandle<()> {
    let note = move || {
        for history in &*histories.lock().unwrap() {
            history.trouble(None);
        }
    };
    tokio::spawn(async move {
        for round in 0.. {
            sleep(pause).await;
            note();
            let server = Arc::clone(&server);
            let outage = spawn_blocking(move || match round % 3 {
                0 => server.restart(),
                1 => server.quit().and_then(|()| server.restart()),
                _ => kill_one_of(&server),
            });
            outage.await.unwrap().unwrap();
        }
    })
}

/// The server then ends all of them, and recovers by itself.
fn kill_one_of(server: &Postgres) -> Result<(), bowline_test_services::Error> {
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
    all(test, grounds, 10, &histories, of_log).await;
    outages.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_whose_relays_are_struck_lose_nothing() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("fire_queue").unwrap();
    let (grounds, histories) = (grounds(&url, seeds(0..40)).await, Histories::default());
    let test = "queues_whose_relays_are_struck";
    all(test, grounds, 10, &histories, of_queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outboxes_whose_relays_are_processes_keep_their_promises() {
    let (server, url) = own_server().await;
    let (grounds, histories) = (grounds(&url, seeds(0..50)).await, Histories::default());
    let outages = outages(server, Duration::from_secs(10), Arc::clone(&histories));
    let test = "outboxes_whose_relays_are_processes";
    let run = |ground, history, seed| async move {
        let folder = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bowline-crash-tests");
        with_processes(program, ground, folder.path(), history, seed).await
    };
    all(test, grounds, 8, &histories, run).await;
    outages.abort();
}
