use std::fmt;
use std::sync::Arc;

use super::PartitionStatus;
use crate::broker::TopicPartition;
use crate::telemetry::{Counter, Level};

/// The metrics of one consumer.
pub(super) struct Meters {
    group: Arc<str>,
    done: Counter,
    failed: Counter,
    committed: Counter,
    commits_failed: Counter,
    commits_fenced: Counter,
    assigned: Counter,
    revoked: Counter,
    lost: Counter,
}

/// The metrics of one assignment. Dropping it sets them to zero.
pub(super) struct PartitionMeters {
    backlog: Level,
    in_flight: Level,
    lag: Level,
    paused: Level,
    oldest_age: Level,
}

impl Meters {
    pub(super) fn new(group: &Arc<str>) -> Self {
        let counter = |name| Counter::new(name, &[("group", group)]);
        let commits = |outcome| {
            let labels = [("group", &**group), ("outcome", outcome)];
            Counter::new("bowline.consumer.commits", &labels)
        };
        let partitions = |change| {
            let labels = [("group", &**group), ("change", change)];
            Counter::new("bowline.consumer.partitions", &labels)
        };
        Self {
            group: Arc::clone(group),
            done: counter("bowline.consumer.done"),
            failed: counter("bowline.consumer.failed_attempts"),
            committed: commits("committed"),
            commits_failed: commits("failed"),
            commits_fenced: commits("fenced"),
            assigned: partitions("assigned"),
            revoked: partitions("revoked"),
            lost: partitions("lost"),
        }
    }

    /// Those of a partition that is ours now.
    pub(super) fn assigned(&self, partition: &TopicPartition) -> PartitionMeters {
        self.assigned.increment();
        let number = partition.partition.to_string();
        let level = |name| {
            let labels = [
                ("group", &*self.group),
                ("topic", &*partition.topic),
                ("partition", &*number),
            ];
            Level::new(name, &labels)
        };
        PartitionMeters {
            backlog: level("bowline.consumer.backlog"),
            in_flight: level("bowline.consumer.in_flight"),
            lag: level("bowline.consumer.lag"),
            paused: level("bowline.consumer.paused"),
            oldest_age: level("bowline.consumer.oldest_age"),
        }
    }

    pub(super) fn revoked(&self, partitions: usize) {
        self.revoked.add(partitions as u64);
    }

    pub(super) fn lost(&self, partitions: usize) {
        self.lost.add(partitions as u64);
    }

    pub(super) fn done(&self, records: u32) {
        self.done.add(records.into());
    }

    pub(super) fn attempt_failed(&self) {
        self.failed.increment();
    }

    pub(super) fn committed(&self) {
        self.committed.increment();
    }

    pub(super) fn commit_failed(&self) {
        self.commits_failed.increment();
    }

    pub(super) fn commit_fenced(&self) {
        self.commits_fenced.increment();
    }
}

impl PartitionMeters {
    /// Those of no partition.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self {
            backlog: Level::none(),
            in_flight: Level::none(),
            lag: Level::none(),
            paused: Level::none(),
            oldest_age: Level::none(),
        }
    }

    /// The partition stands as `status` says. A lag that is not known is none.
    pub(super) fn set(&mut self, status: &PartitionStatus) {
        self.backlog.set(status.backlog as u64);
        self.in_flight.set(status.running as u64);
        self.lag.set(status.lag.unwrap_or_default());
        self.paused.set(status.paused.into());
        let age = status.oldest.unwrap_or_default();
        self.oldest_age.set(age.as_secs());
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl fmt::Debug for PartitionMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionMeters").finish_non_exhaustive()
    }
}
