//! Outboxes and relays in processes that are killed, or stopped for longer than their lease.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod support;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bowline::broker::Topics as _;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Store as _};
use bowline_crash_tests::{Seen, TOPIC, WINDOW, drain, work};
use bowline_test_services::shared;
use support::Process;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

const KILLS: u64 = 30;
const ROUNDS: u64 = 12;

async fn create_topic(folder: &Path) {
    let topics = work::broker(folder).await;
    let created = topics.create(TOPIC, NonZeroU32::new(3).unwrap()).await;
    created.expect("a new topic");
}

/// One process writes and relays; it is killed at any moment and started again on what it left.
#[tokio::test]
async fn a_killed_process_loses_nothing_and_publishes_nothing_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create_topic(folder).await;
    for seed in 0..KILLS {
        let mut random = fastrand::Rng::with_seed(seed);
        let name = folder.to_str().unwrap();
        let process = Process::start(&["write-and-relay", name, &seed.to_string()]).await;
        // Every other time long enough for the lease of the one before to end.
        sleep(Duration::from_millis(random.u64(0..100) + seed % 2 * 1_100)).await;
        process.kill().await;
    }
    let (pool, outbox) = work::database(folder).await;
    drain(&outbox, folder).await;
    let committed = sqlx::query_scalar("SELECT number FROM things ORDER BY number")
        .fetch_all(&pool)
        .await;
    let committed: Vec<u32> = committed.unwrap();
    let seen = Seen::read(folder).await;
    assert!(committed.len() > 100, "{} rows", committed.len());
    seen.assert_is(&committed, "killed writers");
    let bound = usize::try_from(KILLS).unwrap() * WINDOW.get();
    assert!(seen.copies <= bound, "{} copies", seen.copies);
}

/// A row over which every process that publishes it ends: it is found, parked, and all else published.
#[tokio::test]
async fn a_row_that_kills_its_relays_is_parked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create_topic(folder).await;
    let (_, outbox) = work::database(folder).await;
    let mut tx = outbox.begin().await.unwrap();
    for number in 0..60 {
        let message = work::message(number);
        outbox.enqueue(&mut tx, &message).await.unwrap();
    }
    tx.commit().await.unwrap();
    let name = folder.to_str().unwrap();
    let mut ends = 0;
    loop {
        let mut process = Process::start(&["relay-deadly", name]).await;
        let status = async {
            while outbox.status().await.unwrap().parked == 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = process.ended() => {}
            () = status => {
                process.kill().await;
                break;
            }
        }
        ends += 1;
        assert!(ends < 30, "it goes on and on");
        sleep(Config::LEASE_MIN / 2).await;
    }
    let parked = outbox.parked(WINDOW).await.unwrap();
    let payload = parked[0].entry.record.payload.as_deref().unwrap();
    assert_eq!(payload, work::DEADLY.to_string().as_bytes());
    assert!(
        parked[0].reason.contains("relays ended"),
        "{}",
        parked[0].reason
    );
    outbox.discard(parked[0].entry.id).await.unwrap();
    drain(&outbox, folder).await;
    let published: Vec<u32> = (0..60).filter(|number| *number != work::DEADLY).collect();
    Seen::read(folder)
        .await
        .assert_is(&published, "a deadly row");
}

/// Three relays on one outbox: each round one is killed and replaced, or stopped until its lease
/// has ended and then let go on with what it had in hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_that_die_or_sleep_lose_nothing_and_keep_the_order() {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database("crash_relays").unwrap();
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let outbox = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    outbox.migrate().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    create_topic(folder).await;

    let arguments = ["relay", &*url, folder.to_str().unwrap()];
    let mut relays = Vec::new();
    for _ in 0..3 {
        relays.push(Process::start(&arguments).await);
    }
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn({
        let (outbox, pool) = (outbox.clone(), pool.clone());
        async move {
            let mut number = 0;
            while stopped.try_recv().is_err() {
                let mut tx = pool.begin().await.unwrap();
                let message = work::message(number);
                outbox.enqueue(&mut tx, &message).await.unwrap();
                tx.commit().await.unwrap();
                number += 1;
            }
            number
        }
    });
    for seed in 0..ROUNDS {
        let mut random = fastrand::Rng::with_seed(seed);
        sleep(Duration::from_millis(random.u64(50..300))).await;
        let victim = relays.swap_remove(random.usize(..relays.len()));
        if random.bool() {
            victim.kill().await;
            relays.push(Process::start(&arguments).await);
        } else {
            victim.signal("STOP").await;
            sleep(Config::LEASE_MIN + Duration::from_millis(random.u64(100..600))).await;
            victim.signal("CONT").await;
            relays.push(victim);
        }
    }
    stop.send(()).unwrap();
    let written: u32 = writer.await.unwrap();
    drain(&outbox, folder).await;
    for relay in relays {
        relay.kill().await;
    }
    let committed: Vec<u32> = (0..written).collect();
    let seen = Seen::read(folder).await;
    seen.assert_is(&committed, "relays that died or slept");
    let bound = usize::try_from(ROUNDS).unwrap() * WINDOW.get();
    assert!(seen.copies <= bound, "{} copies", seen.copies);
}
