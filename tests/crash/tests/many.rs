//! Many events from PostgreSQL into Kafka, read by a client that knows nothing of us.
//!
//! Some write at once, and now and then roll back; a process relays, is killed with SIGKILL in the middle, and
//! started again; `many.py` reads what came, by the `confluent-kafka` and `cloudevents` packages of Python, and
//! checks that nothing is missing, the order of each key, and every header.
//!
//! `BOWLINE_EVENTS=1000000 cargo test --release -p bowline-crash-tests --test many -- --nocapture` does it with
//! a million events and prints the figures; `BOWLINE_KILLS` says how often the relay is killed.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test reports by panicking, and prints its figures"
)]

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::process::Stdio;
use std::time::Duration;

use bowline::broker::Topics as _;
use bowline::broker::kafka::{Config, Topics};
use bowline::outbox::{self, Store as _, relay};
use bowline_crash_tests::many::{KEYS, Progress, WRITERS, write};
use bowline_test_services::{python, shared};
use sqlx::PgPool;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

const PACKAGES: [&str; 2] = ["cloudevents==2.2.0", "confluent-kafka==2.16.1"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/many.py");
/// How long nothing may happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The number in the variable `name`.
fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name).map_or(usual, |number| number.parse().unwrap())
}

/// A process that relays, and what it says.
struct Relay {
    child: Child,
    progress: watch::Receiver<(Progress, Instant)>,
    reading: JoinHandle<()>,
}

impl Relay {
    fn start(url: &str, servers: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bowline-crash-tests"))
            .args(["relay-to-kafka", url, servers])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, progress) = watch::channel((Progress::default(), Instant::now()));
        let reading = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                // One that was cut short says nothing.
                if let Some(now) = Progress::parse(&line) {
                    let before = tell.borrow().1;
                    let is_new = now.published > tell.borrow().0.published;
                    let at = if is_new { Instant::now() } else { before };
                    tell.send_replace((now, at));
                }
            }
        });
        Self {
            child,
            progress,
            reading,
        }
    }

    /// Returns when it has published so many.
    async fn has_published(&mut self, count: u64) {
        let enough = self.progress.wait_for(|(now, _)| now.published >= count);
        let enough = timeout(10 * PATIENCE, enough).await.expect("it goes on");
        drop(enough.expect("it lives"));
    }

    async fn kill(mut self) -> (Progress, Instant) {
        self.child.kill().await.unwrap();
        self.reading.await.unwrap();
        *self.progress.borrow()
    }

    /// Tells it to stop, and waits until it has.
    async fn stop(mut self) -> (Progress, Instant) {
        let id = self.child.id().unwrap().to_string();
        let told = Command::new("kill").args(["-s", "TERM", &id]).status();
        assert!(told.await.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.expect("it ends").unwrap().success());
        self.reading.await.unwrap();
        *self.progress.borrow()
    }
}

/// Waits until nothing waits any more.
async fn drained(store: &outbox::Postgres) {
    let (mut left, mut since) = (u64::MAX, Instant::now());
    while left > 0 {
        sleep(Duration::from_millis(200)).await;
        let pending = store.status().await.unwrap().pending;
        if pending < left {
            (left, since) = (pending, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{left} wait, and nothing happens"
        );
    }
}

/// What the consumer in Python found, by name; it fails by itself when something is wrong.
async fn consumed(servers: &str, topic: &str, events: u32) -> HashMap<String, f64> {
    let (events, keys) = (events.to_string(), KEYS.to_string());
    let python = spawn_blocking(|| python(&PACKAGES)).await.unwrap();
    let output = Command::new(python.expect("Python with its packages"))
        .args([SCRIPT, servers, topic, &events, &keys])
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let found = String::from_utf8(output.stdout).unwrap();
    let found = found.lines().filter_map(|line| line.split_once(' '));
    found
        .map(|(name, number)| (name.to_owned(), number.parse().unwrap()))
        .collect()
}

/// Each comes at least once, in the order of its key, whole, and what was rolled back does not come; a kill
/// doubles a window at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_events_come_to_kafka_whole_and_in_order_though_the_relay_is_killed() {
    let (events, kills) = (number("BOWLINE_EVENTS", 50_000), number("BOWLINE_KILLS", 1));
    let kafka = spawn_blocking(shared::kafka).await.unwrap().unwrap();
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    // The broker may be one that lives on.
    let topic = format!("many-{:x}", fastrand::u64(..));
    let topics = Topics::new(&Config::new(kafka.address())).unwrap();
    let created = topics.create(&topic, NonZeroU32::new(6).unwrap());
    created.await.unwrap();
    let url = server.create_database("many").unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool).with_topic(&*topic);
    store.migrate().await.unwrap();

    let start = || Relay::start(&url, kafka.address());
    let (mut relay, began) = (start(), Instant::now());
    let (tell, may_end) = watch::channel(false);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(store.clone(), writer, events, may_end.clone()));
    }
    let (mut cpu, mut peak, mut before) = (0, 0, 0);
    for kill in 1..=kills {
        // All of them in the first half: more is written before it and after it.
        let count = u64::from(events) * u64::from(kill) / u64::from(2 * kills);
        relay.has_published(count.saturating_sub(before)).await;
        let (killed, _) = relay.kill().await;
        (cpu, peak) = (cpu + killed.cpu, peak.max(killed.peak));
        before += killed.published;
        relay = start();
    }
    tell.send_replace(true);
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let written = began.elapsed().as_secs_f64();
    drained(&store).await;
    let (last, at) = relay.stop().await;
    let seconds = (at - began).as_secs_f64();
    (cpu, peak) = (cpu + last.cpu, peak.max(last.peak));

    let found = consumed(kafka.address(), &topic, events).await;
    println!(
        "{} events of {} keys by {WRITERS} writers, {kills} kills: {} copies",
        found["events"], found["keys"], found["copies"]
    );
    println!(
        "written in {written:.1} s, all published after {seconds:.1} s: {:.0} events/s",
        f64::from(events) / seconds
    );
    println!(
        "the relay's process: {:.1} s of CPU, {:.1} MB at most",
        Duration::from_millis(cpu).as_secs_f64(),
        peak as f64 / 1024.0,
    );
    println!("read and checked in {:.1} s", found["seconds"]);
    let most = kills * u32::try_from(relay::Config::WINDOW.get()).unwrap();
    assert!(found["copies"] <= most.into(), "{found:?}");
}
