//! Publishers on one file, killed at random while they publish.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Polled, Sqlite, Start, Subscriber as _, Topics as _};
use bowline_crash_tests::TOPIC;
use bowline_crash_tests::work::{ACK, END};
use support::Process;

const ROUNDS: u64 = 20;
const PUBLISHERS: u64 = 2;
const PARTITIONS: u32 = 3;

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
        let mut processes = Vec::new();
        for n in 0..PUBLISHERS {
            let seed = (round * PUBLISHERS + n).to_string();
            let name = file.to_str().unwrap();
            processes.push(Process::start(&["publish", name, &seed]).await);
        }
        tokio::time::sleep(Duration::from_millis(20 + random.u64(0..60))).await;
        for process in processes {
            for line in process.kill().await {
                note(&line, &mut acknowledged);
            }
        }
        assert!(acknowledged.len() > before, "nothing was published");
        check(&broker, round, &acknowledged).await;
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
