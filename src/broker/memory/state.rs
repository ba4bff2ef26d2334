use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::{BACKEND, millis_since};
use crate::broker::admission::{self, Admission};
use crate::broker::group::{Group, Member};
use crate::broker::holdings::{Claims, Cursor, fenced};
use crate::broker::membership::{MAX_METADATA, check_metadata};
use crate::broker::{
    Appended, Assignment, Commit, Committed, Created, Position, PublishError, Received, Record,
    Start, TopicPartition,
};
use crate::error::Error;

/// Everything the broker knows.
#[derive(Debug, Default)]
pub(super) struct State {
    topics: BTreeMap<Arc<str>, Topic>,
    groups: HashMap<Arc<str>, Shares>,
    /// The start of the milliseconds in which groups reckon: the first use.
    origin: Option<Instant>,
    turn: u32,
    /// The newest producer of each transactional id.
    producers: HashMap<Arc<str>, u64>,
}

#[derive(Debug)]
struct Topic {
    count: NonZeroU32,
    partitions: Vec<Vec<Stored>>,
}

#[derive(Debug)]
struct Stored {
    record: Record,
    at: DateTime<Utc>,
}

#[derive(Debug, Default)]
struct Shares {
    group: Group,
    committed: HashMap<TopicPartition, Committed>,
}

impl State {
    pub(super) fn create(&mut self, name: &str, partitions: NonZeroU32) -> Result<Created, Error> {
        if let Some(topic) = self.topics.get(name) {
            admission::check_partitions(BACKEND, name, topic.count.get(), partitions)?;
            return Ok(Created::Existed);
        }
        let topic = Topic {
            count: partitions,
            partitions: (0..partitions.get()).map(|_| Vec::new()).collect(),
        };
        self.topics.insert(name.into(), topic);
        Ok(Created::New)
    }

    pub(super) fn append(
        &mut self,
        record: Record,
        admission: &mut Admission,
        at: DateTime<Utc>,
    ) -> Result<Appended, PublishError> {
        let topic = self.topics.get_mut(&record.topic);
        let count = topic.as_ref().map(|topic| topic.count);
        let partition = admission.admit(&record, count, &mut self.turn)?;
        let at_partition = TopicPartition::new(Arc::clone(&record.topic), partition);
        let log = topic
            .and_then(|topic| topic.partitions.get_mut(index(partition)))
            .ok_or_else(|| {
                let error = admission::unknown_topic(BACKEND, "publish", &record.topic);
                PublishError::not_sent(error)
            })?;
        let offset = log.len() as u64;
        log.push(Stored { record, at });
        Ok(Appended::at(Position::new(at_partition, offset)))
    }

    /// Appends all of `batch`, or nothing.
    pub(super) fn append_all(
        &mut self,
        mut batch: Vec<Record>,
        admission: &mut Admission,
        at: DateTime<Utc>,
    ) -> Vec<Result<Appended, PublishError>> {
        let mut places = Vec::with_capacity(batch.len());
        for record in &mut batch {
            let count = self.topics.get(&record.topic).map(|topic| topic.count);
            places.push(admission.admit(record, count, &mut self.turn).map(|place| {
                record.partition = Some(place);
                Appended::within(TopicPartition::new(Arc::clone(&record.topic), place))
            }));
        }
        if places.iter().any(Result::is_err) {
            return places;
        }
        let batch = batch.into_iter();
        batch
            .map(|record| self.append(record, admission, at))
            .collect()
    }

    /// A new producer with this transactional id; those before it are fenced.
    pub(super) fn take_over(&mut self, id: &Arc<str>) -> u64 {
        let newest = self.producers.entry(Arc::clone(id)).or_default();
        *newest += 1;
        *newest
    }

    pub(super) fn is_newest(&self, id: &str, epoch: u64) -> bool {
        self.producers.get(id) == Some(&epoch)
    }

    pub(super) fn has_partition(&self, partition: &TopicPartition) -> bool {
        let topic = self.topics.get(&partition.topic);
        topic.is_some_and(|topic| partition.partition < topic.count.get())
    }

    /// Where `group` stands in `partition`, whoever moved it there.
    pub(super) fn position(&self, group: &str, partition: &TopicPartition) -> Option<Committed> {
        self.groups.get(group)?.committed.get(partition).cloned()
    }

    pub(super) fn set_position(
        &mut self,
        group: &str,
        partition: &TopicPartition,
        committed: &Committed,
    ) {
        let shares = self.groups.entry(group.into()).or_default();
        shares
            .committed
            .insert(partition.clone(), committed.clone());
    }

    /// The names of the topics and how many partitions each has.
    pub(super) fn topics(&self) -> BTreeMap<Arc<str>, u32> {
        self.topics
            .iter()
            .map(|(name, topic)| (Arc::clone(name), topic.count.get()))
            .collect()
    }

    /// The partition counts of `topics`.
    pub(super) fn counts(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, u32>, Error> {
        topics
            .iter()
            .map(|name| match self.topics.get(name) {
                Some(topic) => Ok((Arc::clone(name), topic.count.get())),
                None => Err(admission::unknown_topic(BACKEND, "subscribe", name)),
            })
            .collect()
    }

    /// Adds a member to `group`.
    pub(super) fn join(
        &mut self,
        group: &Arc<str>,
        id: Uuid,
        topics: BTreeMap<Arc<str>, u32>,
        timeout: u64,
    ) {
        let seen = self.now();
        let member = Member {
            topics,
            timeout,
            seen,
        };
        let shares = self.groups.entry(Arc::clone(group)).or_default();
        shares.group.join(id, member);
    }

    /// Notes that `id` is alive; `false` when it is not a member.
    pub(super) fn touch(&mut self, group: &str, id: Uuid) -> bool {
        let now = self.now();
        self.groups
            .get_mut(group)
            .is_some_and(|shares| shares.group.touch(id, now))
    }

    /// Grows with every change of `group`.
    pub(super) fn revision(&self, group: &str) -> u64 {
        self.groups
            .get(group)
            .map_or(0, |shares| shares.group.revision())
    }

    pub(super) fn leave(&mut self, group: &str, id: Uuid) {
        if let Some(shares) = self.groups.get_mut(group) {
            shares.group.leave(id);
        }
    }

    pub(super) fn release(&mut self, group: &str, id: Uuid, assignments: &[Assignment]) {
        if let Some(shares) = self.groups.get_mut(group) {
            shares.group.release(id, assignments);
        }
    }

    /// What `id` owns.
    pub(super) fn claims(&self, group: &str, id: Uuid) -> Claims {
        self.groups.get(group).map_or_else(Claims::new, |shares| {
            shares
                .group
                .claims_of(id)
                .map(|(partition, claim)| (partition.clone(), claim))
                .collect()
        })
    }

    /// How far `group` has come in `partition`. The end of the log is noted as committed when that is
    /// where it starts, so that the next owner starts at the same place.
    pub(super) fn committed(
        &mut self,
        group: &str,
        partition: &TopicPartition,
        start: Start,
    ) -> Option<Committed> {
        let end = self.log(partition).len() as u64;
        let committed = &mut self.groups.get_mut(group)?.committed;
        if start == Start::Latest && !committed.contains_key(partition) {
            committed.insert(partition.clone(), Committed::new(end));
        }
        committed.get(partition).cloned()
    }

    pub(super) fn owns(
        &self,
        group: &str,
        id: Uuid,
        assignment: &Assignment,
        operation: &'static str,
    ) -> Result<(), Error> {
        match self.groups.get(group) {
            Some(shares) if shares.group.owns(id, assignment) => Ok(()),
            _ => Err(fenced(assignment, BACKEND, operation)),
        }
    }

    pub(super) fn commit(
        &mut self,
        group: &str,
        id: Uuid,
        commits: &[Commit],
    ) -> Result<(), Error> {
        check_metadata(BACKEND, MAX_METADATA, commits)?;
        for commit in commits {
            self.owns(group, id, &commit.assignment, "commit")?;
        }
        if let Some(shares) = self.groups.get_mut(group) {
            let commits = commits.iter().map(|commit| {
                let partition = commit.assignment.partition.clone();
                (partition, commit.committed.clone())
            });
            shares.committed.extend(commits);
        }
        Ok(())
    }

    /// At most `max` records from `cursor` on.
    pub(super) fn read(&self, cursor: &Cursor, max: usize) -> Vec<Received> {
        let first = usize::try_from(cursor.next).unwrap_or(usize::MAX);
        self.log(&cursor.partition)
            .iter()
            .zip(0u64..)
            .skip(first)
            .take(max)
            .map(|(stored, offset)| {
                let mut record = stored.record.clone();
                record.partition = Some(cursor.partition.partition);
                let position = Position::new(cursor.partition.clone(), offset);
                Received::new(record, position, cursor.epoch).with_timestamp(stored.at)
            })
            .collect()
    }

    /// Where the next record of each of `partitions` will stand.
    pub(super) fn ends(&self, partitions: &[TopicPartition]) -> Vec<Position> {
        let end = |partition: &TopicPartition| {
            Position::new(partition.clone(), self.log(partition).len() as u64)
        };
        partitions.iter().map(end).collect()
    }

    fn log(&self, partition: &TopicPartition) -> &[Stored] {
        self.topics
            .get(&partition.topic)
            .and_then(|topic| topic.partitions.get(index(partition.partition)))
            .map_or(&[], Vec::as_slice)
    }

    fn now(&mut self) -> u64 {
        millis_since(*self.origin.get_or_insert_with(Instant::now))
    }
}

fn index(partition: u32) -> usize {
    usize::try_from(partition).unwrap_or(usize::MAX)
}
