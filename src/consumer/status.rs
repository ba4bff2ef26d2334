use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Assignment, TopicPartition};

/// Shows what a consumer is doing; clones show the same consumer.
///
/// It stays valid when the consumer has ended, and then shows no partitions.
#[derive(Debug, Clone, Default)]
pub struct Status(Arc<Shared>);

/// What a consumer was doing at one moment.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The partitions that are assigned, in order.
    pub partitions: Vec<PartitionStatus>,
    /// How many records have been handled since the start, those for other groups included.
    pub done: u64,
    /// How many attempts have failed since the start.
    pub failed_attempts: u64,
    /// How long ago the last commit was, if there was one.
    pub since_commit: Option<Duration>,
}

/// What a consumer was doing with one partition at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// The partition.
    pub partition: TopicPartition,
    /// How many records wait or run.
    pub backlog: usize,
    /// How many records are with the handler, or wait for it to be ready.
    pub running: usize,
    /// How many attempts have failed of records that are not done yet; above 0 some key waits.
    pub failed_attempts: u32,
    /// Whether reading waits until fewer records are in hand.
    pub paused: bool,
    /// The offset of the first record that is not done, or of the next that comes; `None` until there
    /// was a record or a commit.
    pub watermark: Option<u64>,
    /// The watermark that the broker has.
    pub committed: Option<u64>,
    /// How many records of the log are not done, by where it ended when the broker was asked last
    /// ([`Config::lag_interval`](super::Config::lag_interval)). Offsets without a record, as compaction
    /// and transactions leave them, count until a record after them has come. `None` while that is not
    /// known.
    pub lag: Option<u64>,
    /// How long the oldest record that is not done has been in hand, if there is one.
    pub oldest: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shared {
    done: AtomicU64,
    failed: AtomicU64,
    partitions: Mutex<BTreeMap<TopicPartition, (u64, Arc<Gauge>)>>,
    committed: Mutex<Option<Instant>>,
}

/// What the worker of one assignment shows.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    backlog: AtomicUsize,
    running: AtomicUsize,
    failed: AtomicU32,
    shown: Mutex<Shown>,
}

/// What of an assignment is shown as it was after the last batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shown {
    pub(super) paused: bool,
    pub(super) watermark: Option<u64>,
    pub(super) committed: Option<u64>,
    pub(super) lag: Option<u64>,
    pub(super) oldest: Option<Instant>,
}

pub(super) struct UntilEnded(Status);

impl Status {
    /// How it stands now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let partitions = lock(&self.0.partitions)
            .iter()
            .map(|(partition, (_, gauge))| gauge.status(partition.clone()))
            .collect();
        Snapshot {
            partitions,
            done: self.0.done.load(Ordering::Relaxed),
            failed_attempts: self.0.failed.load(Ordering::Relaxed),
            since_commit: lock(&self.0.committed).map(|at| at.elapsed()),
        }
    }

    pub(super) fn assigned(&self, assignment: &Assignment) -> Arc<Gauge> {
        let gauge = Arc::new(Gauge::default());
        lock(&self.0.partitions).insert(
            assignment.partition.clone(),
            (assignment.epoch, Arc::clone(&gauge)),
        );
        gauge
    }

    /// Takes the partition off, unless it is assigned anew.
    pub(super) fn unassigned(&self, assignment: &Assignment) {
        let mut partitions = lock(&self.0.partitions);
        if partitions
            .get(&assignment.partition)
            .is_some_and(|(epoch, _)| *epoch == assignment.epoch)
        {
            partitions.remove(&assignment.partition);
        }
    }

    pub(super) fn committed(&self) {
        *lock(&self.0.committed) = Some(Instant::now());
    }

    /// Takes all partitions off when it is dropped, however the consumer ends.
    pub(super) fn until_ended(&self) -> UntilEnded {
        UntilEnded(self.clone())
    }

    /// A record is done, after so many `failures`.
    pub(super) fn record_done(&self, gauge: &Gauge, failures: u32) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
        gauge.backlog.fetch_sub(1, Ordering::Relaxed);
        gauge.failed.fetch_sub(failures, Ordering::Relaxed);
    }

    pub(super) fn attempt_failed(&self, gauge: &Gauge) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
        gauge.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// How many handlers are running.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.partitions.iter().map(|one| one.running).sum()
    }

    /// How many records of all partitions are not done; `None` while it is not known of one of them.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        self.partitions.iter().map(|one| one.lag).sum()
    }

    /// How long the oldest record that is not done has been in hand, if there is one.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        self.partitions.iter().filter_map(|one| one.oldest).max()
    }
}

impl Gauge {
    pub(super) fn status(&self, partition: TopicPartition) -> PartitionStatus {
        let shown = *lock(&self.shown);
        PartitionStatus {
            partition,
            backlog: self.backlog.load(Ordering::Relaxed),
            running: self.running.load(Ordering::Relaxed),
            failed_attempts: self.failed.load(Ordering::Relaxed),
            paused: shown.paused,
            watermark: shown.watermark,
            committed: shown.committed,
            lag: shown.lag,
            oldest: shown.oldest.map(|at| at.elapsed()),
        }
    }

    pub(super) fn show(&self, shown: Shown) {
        *lock(&self.shown) = shown;
    }

    pub(super) fn queued(&self) {
        self.backlog.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn started(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn returned(&self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for UntilEnded {
    fn drop(&mut self) {
        lock(&self.0.0.partitions).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
