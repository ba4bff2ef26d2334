use std::collections::HashMap;
use std::num::NonZeroUsize;

use rdkafka::consumer::Consumer as _;

use super::queue::{Found, Queue, Source, read};
use super::subscriber::Driver;
use crate::broker::{Assignment, TopicPartition};

/// The partitions of one member, and what comes of them.
#[derive(Default)]
pub(super) struct Partitions {
    ours: HashMap<TopicPartition, Ours>,
    last_epoch: u64,
    /// Which of them is looked into first, so that a busy one starves nobody.
    turn: usize,
}

struct Ours {
    epoch: u64,
    queue: Queue,
    paused: bool,
}

impl Partitions {
    /// `partition` is ours from now on, and comes from `queue`.
    pub(super) fn add(&mut self, partition: TopicPartition, queue: Queue) -> Assignment {
        self.last_epoch += 1;
        let ours = Ours {
            epoch: self.last_epoch,
            queue,
            paused: false,
        };
        self.ours.insert(partition.clone(), ours);
        Assignment::new(partition, self.last_epoch)
    }

    pub(super) fn remove(&mut self, partition: &TopicPartition) {
        self.ours.remove(partition);
    }

    /// Forgets all of them; says which they were.
    pub(super) fn clear(&mut self) -> Vec<Assignment> {
        let ours = self.ours.drain();
        ours.map(|(partition, ours)| Assignment::new(partition, ours.epoch))
            .collect()
    }

    /// Those of `partitions` that are ours.
    pub(super) fn among(&self, partitions: &[TopicPartition]) -> Vec<Assignment> {
        let ours = partitions.iter().filter_map(|partition| {
            let epoch = self.ours.get(partition)?.epoch;
            Some(Assignment::new(partition.clone(), epoch))
        });
        ours.collect()
    }

    pub(super) fn contain(&self, assignment: &Assignment) -> bool {
        let ours = self.ours.get(&assignment.partition);
        ours.is_some_and(|ours| ours.epoch == assignment.epoch)
    }

    /// Whether `partition` is to be looked into; nothing for one that is not ours.
    pub(super) fn set_paused(&mut self, partition: &TopicPartition, paused: bool) {
        if let Some(ours) = self.ours.get_mut(partition) {
            ours.paused = paused;
        }
    }

    /// Waits for records of those that are not paused, each time another one first.
    pub(super) async fn read(&mut self, driver: &Driver, max: NonZeroUsize) -> Found {
        self.turn = self.turn.wrapping_add(1);
        let flowing = self.ours.iter().filter(|(_, ours)| !ours.paused);
        let mut sources: Vec<_> = flowing
            .map(|(partition, ours)| Source {
                partition,
                epoch: ours.epoch,
                reader: ours.queue.reader(),
            })
            .collect();
        if !sources.is_empty() {
            let first = self.turn % sources.len();
            sources.rotate_left(first);
        }
        let group = driver.context();
        read(&mut driver.stream(), group, &mut sources, max.get()).await
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &TopicPartition> {
        self.ours.keys()
    }
}
