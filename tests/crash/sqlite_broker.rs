//! Publishers on one file, killed at random while they publish.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::Write;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Polled, Publisher as _, Record, Sqlite, Start, Subscriber, Topics};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const ROUNDS: u64 = 20;
const PUBLISHERS: u64 = 2;
const PARTITIONS: u32 = 3;
const TOPIC: &str = "events";
const FILE: &str = "BOWLINE_TEST_BROKER_FILE";
const SEED: &str = "BOWLINE_TEST_SEED";
const ACK: &str = "acknowledged ";
const END: &str = "end";

/// Partition and offset to payload.
type Log = BTreeMap<(u32, u64), String>;

#[tokio::test]
async fn acknowledged_records_survive_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("broker.db");
    let broker = Sqlite::open(&file).await.expect("a new file");
    let partitions = NonZeroU32::new(PARTITIONS).expect("not zero");
    broker.create(TOPIC, partitions).await.expect("a new topic");

    let mut acknowledged = Log::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        let mut random = fastrand::Rng::with_seed(round);
        let mut children: Vec<_> = (0..PUBLISHERS)
            .map(|n| Publisher::spawn(&file, round * PUBLISHERS + n))
            .collect();
        for child in &mut children {
            child.works.recv().await.expect("the child publishes");
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..60))).await;
        for child in &mut children {
            child.process.kill().await.expect("killed");
        }
        for child in children {
            // What it acknowledged before it died is still in its pipe.
            for line in child.lines.await.expect("readable") {
                note(&line, &mut acknowledged);
            }
        }
        assert!(acknowledged.len() > before, "nothing was published");
        check(&broker, round, &acknowledged).await;
    }
    println!("{} records were acknowledged", acknowledged.len());
}

/// The child process: publishes until it is killed, and prints what the broker has acknowledged.
#[tokio::test]
#[ignore = "the entry of a child process"]
async fn publish_until_killed() {
    let file = env::var(FILE).expect("the parent names the file");
    let seed = env::var(SEED).expect("the parent gives a seed");
    let mut random = fastrand::Rng::with_seed(seed.parse().expect("a number"));
    let broker = Sqlite::open(file).await.expect("the file is there");
    let mut number = 0u64;
    loop {
        let batch: Vec<_> = (0..random.usize(1..20))
            .map(|_| {
                number += 1;
                let filler = "x".repeat(random.usize(0..2_000));
                Record::new(TOPIC, format!("{seed}-{number}-{filler}"))
                    .with_key(random.u8(0..50).to_string())
            })
            .collect();
        let results = broker.publish(batch.clone()).await;
        let mut line = String::new();
        for (record, result) in batch.iter().zip(results) {
            let position = result
                .expect("the broker accepts the record")
                .position()
                .expect("a place");
            let payload = record.payload.as_deref().expect("a payload");
            let payload = std::str::from_utf8(payload).expect("text");
            let partition = position.partition.partition;
            line += &format!("{partition} {} {payload};", position.offset);
        }
        println!("{ACK}{line}{END}");
        std::io::stdout().flush().expect("the parent reads");
    }
}

struct Publisher {
    process: Child,
    /// Tells that the first batch was acknowledged.
    works: mpsc::Receiver<()>,
    /// Everything it prints, read all the time so that a full pipe never holds it up.
    lines: JoinHandle<Vec<String>>,
}

impl Publisher {
    fn spawn(file: &Path, seed: u64) -> Self {
        let mut process = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "sqlite_broker::publish_until_killed"])
            .args(["--ignored", "--nocapture"])
            .env(FILE, file)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a child process");
        let stdout = process.stdout.take().expect("a pipe");
        let (working, works) = mpsc::channel(1);
        let lines = tokio::spawn(async move {
            let mut stdout = BufReader::new(stdout).lines();
            let mut lines = Vec::new();
            while let Some(line) = stdout.next_line().await.expect("readable") {
                if line.contains(ACK) && lines.is_empty() {
                    working.send(()).await.expect("the test waits");
                }
                if line.contains(ACK) {
                    lines.push(line);
                }
            }
            lines
        });
        Self {
            process,
            works,
            lines,
        }
    }
}

/// Notes one acknowledged batch. A line that was cut short acknowledges nothing.
fn note(line: &str, log: &mut Log) {
    let line = line.split_once(ACK).map_or("", |(_, line)| line);
    let Some(line) = line.strip_suffix(END) else {
        return;
    };
    for record in line.split_terminator(';') {
        let mut parts = record.splitn(3, ' ');
        let mut part = || parts.next().expect("three parts");
        let position = (
            part().parse().expect("a partition"),
            part().parse().expect("an offset"),
        );
        let other = log.insert(position, part().to_owned());
        assert_eq!(other, None, "{position:?} was acknowledged twice");
    }
}

/// Every acknowledged record is where it was said to be, and no offset is missing.
async fn check(broker: &Sqlite, round: u64, acknowledged: &Log) {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    subscriber
        .subscribe(&format!("check-{round}"), &topics, Start::Earliest)
        .await
        .expect("the topic exists");
    let mut missing: BTreeSet<_> = acknowledged.keys().copied().collect();
    let mut next = [0u64; PARTITIONS as usize];
    let max = NonZeroUsize::new(1_000).expect("not zero");
    while !missing.is_empty() {
        let polled = tokio::time::timeout(Duration::from_secs(10), subscriber.poll(max)).await;
        let polled = polled.unwrap_or_else(|_| panic!("round {round}: lost {missing:?}"));
        let Polled::Records(records) = polled.expect("polled") else {
            continue;
        };
        for received in records {
            let position = received.position;
            let partition = position.partition.partition;
            let next = &mut next[partition as usize];
            assert_eq!(
                position.offset, *next,
                "round {round}: a gap in {partition}"
            );
            *next += 1;
            let position = (partition, position.offset);
            if missing.remove(&position) {
                let payload = received.record.payload.expect("a payload");
                assert_eq!(acknowledged[&position].as_bytes(), &*payload);
            }
        }
    }
    subscriber.close().await.expect("closed");
}
