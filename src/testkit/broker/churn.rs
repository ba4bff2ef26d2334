use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use super::{Harness, numbered, publish, topic, unique};
use crate::broker::{
    Appended, Commit, Polled, Position, Received, Start, Subscriber, TopicPartition,
};
use crate::error::{Chain, Error, Kind};

const PARTITIONS: u32 = 6;
const RECORDS: u32 = 1_000;
const KEYS: u32 = 40;
const MEMBERS: usize = 3;
const CHANGES: u32 = 12;
const SEED: u64 = 0xb0_11_1e;

/// How long the group may take to read the rest when no more members come and go.
const PATIENCE: Duration = Duration::from_secs(120);

/// While members join, close and die, in an order that a seed decides, every record is processed,
/// and none before the earlier ones of its partition.
pub async fn members_come_and_go<H: Harness>(harness: &H) {
    let topic = topic(harness, PARTITIONS).await;
    let mut crowd = Crowd {
        harness,
        group: unique("group"),
        topic: Arc::clone(&topic),
        ledger: Arc::default(),
        workers: Vec::new(),
        random: fastrand::Rng::with_seed(SEED),
    };
    for _ in 0..MEMBERS {
        crowd.join().await;
    }
    let batch = RECORDS / CHANGES + 1;
    for first in (0..RECORDS).step_by(usize::try_from(batch).expect("it fits")) {
        let records = numbered(&topic, first, RECORDS.min(first + batch))
            .into_iter()
            .enumerate()
            .map(|(n, record)| record.with_key(format!("key-{}", n % KEYS as usize)))
            .collect();
        let appended = publish(harness, records).await;
        crowd.ledger().expect(appended);
        time::sleep(Duration::from_millis(crowd.random.u64(0..100))).await;
        crowd.change().await;
    }
    let give_up = Instant::now() + PATIENCE;
    while !crowd.ledger().is_complete() {
        assert!(
            Instant::now() < give_up,
            "records are missing: {:?}",
            crowd.ledger()
        );
        time::sleep(Duration::from_millis(20)).await;
    }
    while !crowd.workers.is_empty() {
        crowd.leave(0, End::Close).await;
    }
}

/// The members, and what they have done together.
struct Crowd<'a, H: Harness> {
    harness: &'a H,
    group: Arc<str>,
    topic: Arc<str>,
    ledger: Arc<Mutex<Ledger>>,
    workers: Vec<Worker<H::Subscriber>>,
    random: fastrand::Rng,
}

struct Worker<S> {
    /// Dropping it stops the task.
    stop: oneshot::Sender<()>,
    task: JoinHandle<S>,
}

#[derive(Clone, Copy)]
enum End {
    Close,
    Crash,
}

impl<H: Harness> Crowd<'_, H> {
    async fn join(&mut self) {
        let mut subscriber = self.harness.impatient_subscriber();
        let topics = [Arc::clone(&self.topic)];
        subscriber
            .subscribe(&self.group, &topics, Start::Earliest)
            .await
            .expect("the topic exists");
        let (stop, stopped) = oneshot::channel();
        let ledger = Arc::clone(&self.ledger);
        let random = self.random.fork();
        let task = tokio::spawn(work(subscriber, ledger, stopped, random));
        self.workers.push(Worker { stop, task });
    }

    async fn leave(&mut self, index: usize, end: End) {
        let worker = self.workers.swap_remove(index);
        drop(worker.stop);
        let subscriber = worker.task.await.expect("the worker does not panic");
        match end {
            End::Close => subscriber.close().await.expect("closed"),
            End::Crash => self.harness.crash(subscriber),
        }
    }

    async fn change(&mut self) {
        if self.workers.len() < MEMBERS || self.random.u8(0..4) == 0 {
            return self.join().await;
        }
        let index = self.random.usize(..self.workers.len());
        let end = if self.random.bool() {
            End::Close
        } else {
            End::Crash
        };
        self.leave(index, end).await;
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Processes records one by one, and commits after some of them, until it is told to stop.
async fn work<S: Subscriber>(
    mut subscriber: S,
    ledger: Arc<Mutex<Ledger>>,
    mut stopped: oneshot::Receiver<()>,
    mut random: fastrand::Rng,
) -> S {
    let max = NonZeroUsize::MIN.saturating_add(random.usize(0..30));
    loop {
        let polled = tokio::select! {
            _ = &mut stopped => return subscriber,
            polled = subscriber.poll(max) => polled,
        };
        match polled {
            Ok(Polled::Records(records)) => {
                let mut done = BTreeMap::new();
                for received in records {
                    ledger
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .process(&received);
                    done.insert(received.position.partition.clone(), received);
                    if random.u8(0..10) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                let next: Vec<_> = done.values().map(next).collect();
                if random.u8(0..3) > 0 {
                    allow(&[Kind::Fenced], subscriber.commit(&next).await);
                }
            }
            Ok(Polled::Revoking(revoking)) => allow(&[], subscriber.release(&revoking).await),
            Ok(Polled::Assigned(_) | Polled::Lost(_)) => {}
            Err(error) => allow(&[], Err(error)),
        }
    }
}

fn next(received: &Received) -> Commit {
    Commit::new(received.assignment(), received.position.offset + 1)
}

fn allow(kinds: &[Kind], result: Result<(), Error>) {
    if let Err(error) = result {
        let allowed = error.is_transient() || kinds.contains(&error.kind());
        assert!(allowed, "{}", Chain(&error));
    }
}

/// What was published, and how far it has been processed.
#[derive(Default)]
struct Ledger(BTreeMap<TopicPartition, Log>);

#[derive(Default)]
struct Log {
    offsets: Vec<u64>,
    /// How many of `offsets`, from the first on, were processed.
    done: usize,
    /// Processed before the publisher had its answer.
    early: Vec<u64>,
}

impl Ledger {
    fn expect(&mut self, appended: Vec<Appended>) {
        for Appended { partition, offset } in appended {
            let log = self.0.entry(partition).or_default();
            log.offsets.push(offset.expect("the broker says where"));
            let early = std::mem::take(&mut log.early);
            for offset in early {
                log.process(offset);
            }
        }
    }

    fn process(&mut self, received: &Received) {
        let Position { partition, offset } = received.position.clone();
        self.0.entry(partition).or_default().process(offset);
    }

    fn is_complete(&self) -> bool {
        let published: usize = self.0.values().map(|log| log.offsets.len()).sum();
        let done: usize = self.0.values().map(|log| log.done).sum();
        published == RECORDS as usize && done == published
    }
}

impl Log {
    fn process(&mut self, offset: u64) {
        match self.offsets.binary_search(&offset) {
            Ok(index) => {
                assert!(
                    index <= self.done,
                    "{offset} came before its predecessors: {self:?}"
                );
                self.done = self.done.max(index + 1);
            }
            Err(_) => self.early.push(offset),
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} done, ", self.done, self.offsets.len())?;
        write!(f, "{} early", self.early.len())
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.0
                    .iter()
                    .map(|(partition, log)| (partition.to_string(), log)),
            )
            .finish()
    }
}
