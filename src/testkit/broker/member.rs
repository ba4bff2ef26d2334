use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{self, Instant};

use super::{Harness, number};
use crate::broker::{
    Assigned, Assignment, Commit, Committed, Polled, Received, Start, Subscriber, TopicPartition,
};
use crate::error::{Chain, Error};

/// How long a case waits before it calls the broker stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a member polls before it is another one's turn.
const TURN: Duration = Duration::from_millis(50);

/// A subscriber that keeps book, and gives partitions back when it is asked to.
#[derive(Debug)]
pub(super) struct Member<S> {
    pub(super) subscriber: S,
    pub(super) owned: BTreeMap<TopicPartition, Assignment>,
    /// How far the group had come when the partition was assigned.
    pub(super) found: BTreeMap<TopicPartition, Option<Committed>>,
    /// Everything it was ever assigned.
    given: HashSet<Assignment>,
    /// The offsets that may come next at the earliest.
    expected: BTreeMap<TopicPartition, u64>,
    /// What it was given, oldest first.
    pub(super) records: Vec<Received>,
    /// What it lost without being asked.
    pub(super) lost: Vec<Assignment>,
    /// What it gave back, with the positions it committed before.
    pub(super) released: Vec<(Assignment, Option<u64>)>,
    /// Whether it commits what it has read of a partition before it gives it back.
    pub(super) commits_on_release: bool,
}

impl<S: Subscriber> Member<S> {
    /// Joins `group`.
    pub(super) async fn join(
        mut subscriber: S,
        group: &str,
        topic: &Arc<str>,
        start: Start,
    ) -> Self {
        let topics = [Arc::clone(topic)];
        subscriber
            .subscribe(group, &topics, start)
            .await
            .expect("the topic exists");
        Self {
            subscriber,
            owned: BTreeMap::new(),
            found: BTreeMap::new(),
            given: HashSet::new(),
            expected: BTreeMap::new(),
            records: Vec::new(),
            lost: Vec::new(),
            released: Vec::new(),
            commits_on_release: false,
        }
    }

    /// Joins `group` and polls until it owns `partitions` partitions.
    pub(super) async fn alone<H>(
        harness: &H,
        group: &str,
        topic: &Arc<str>,
        start: Start,
        partitions: usize,
    ) -> Self
    where
        H: Harness<Subscriber = S>,
    {
        let mut member = Self::join(harness.subscriber(), group, topic, start).await;
        member.own(partitions).await;
        member
    }

    /// Polls until it owns `partitions` partitions.
    pub(super) async fn own(&mut self, partitions: usize) {
        self.until("its partitions", |member| member.owned.len() == partitions)
            .await;
    }

    /// Polls until it was given `count` records in all.
    pub(super) async fn read(&mut self, count: usize) {
        self.until("records", |member| member.records.len() >= count)
            .await;
    }

    /// Polls until `done`.
    pub(super) async fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let give_up = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < give_up, "waited for {what}: {self:#?}");
            self.turn().await;
        }
    }

    /// Polls for a moment, and takes note of what comes.
    pub(super) async fn turn(&mut self) {
        let max = NonZeroUsize::new(100).expect("not zero");
        let polled = time::timeout(TURN, self.subscriber.poll(max)).await;
        match polled {
            Ok(Ok(polled)) => self.note(polled).await,
            Ok(Err(error)) => assert!(error.is_transient(), "poll: {}", Chain(&error)),
            Err(_nothing_came) => {}
        }
    }

    /// Polls for `time`, many times if need be, and expects no records.
    pub(super) async fn read_nothing(&mut self, time: Duration) {
        let before = self.records.len();
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn().await;
        }
        assert_eq!(self.records.len(), before, "records came: {self:#?}");
    }

    /// Commits everything it has read of the partitions it owns.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        let next: Vec<_> = self
            .owned
            .values()
            .filter_map(|owned| Some(Commit::new(owned.clone(), self.next(owned)?)))
            .collect();
        self.subscriber.commit(&next).await
    }

    /// Goes on reading `assignment` at `offset`.
    pub(super) async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        self.subscriber.seek(assignment, offset).await?;
        self.expected.insert(assignment.partition.clone(), offset);
        Ok(())
    }

    /// The offset after the last record it read of `assignment`.
    pub(super) fn next(&self, assignment: &Assignment) -> Option<u64> {
        let read = self.records.iter().rev();
        read.filter(|received| received.assignment() == *assignment)
            .map(|received| received.position.offset + 1)
            .max()
    }

    /// The assignment of the partition with this number.
    pub(super) fn assignment(&self, partition: u32) -> Assignment {
        self.owned
            .values()
            .find(|owned| owned.partition.partition == partition)
            .expect("the partition is owned")
            .clone()
    }

    /// The numbers it has read.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.records
            .iter()
            .map(|received| number(&received.record))
            .collect()
    }

    async fn note(&mut self, polled: Polled) {
        match polled {
            Polled::Assigned(new) => {
                assert!(!new.is_empty(), "nothing was assigned");
                for Assigned {
                    assignment: new,
                    committed,
                } in new
                {
                    self.found.insert(new.partition.clone(), committed);
                    assert!(self.given.insert(new.clone()), "an epoch came twice");
                    let old = self.owned.insert(new.partition.clone(), new);
                    assert_eq!(old, None, "assigned while owned");
                }
            }
            Polled::Lost(lost) => {
                for lost in lost {
                    self.forget(&lost);
                    self.lost.push(lost);
                }
            }
            Polled::Revoking(revoking) => self.give_back(revoking).await,
            Polled::Records(records) => {
                assert!(!records.is_empty(), "an empty batch");
                for received in records {
                    let position = received.position.clone();
                    let owned = self.owned.get(&position.partition);
                    assert_eq!(owned, Some(&received.assignment()), "read but not owned");
                    let next = self
                        .expected
                        .insert(position.partition, position.offset + 1);
                    assert!(
                        next.is_none_or(|next| next <= position.offset),
                        "out of order"
                    );
                    self.records.push(received);
                }
            }
        }
    }

    async fn give_back(&mut self, revoking: Vec<Assignment>) {
        for revoking in &revoking {
            self.forget(revoking);
            let next = self.next(revoking).filter(|_| self.commits_on_release);
            if let Some(next) = next {
                let commit = Commit::new(revoking.clone(), next);
                let committed = self.subscriber.commit(&[commit]).await;
                committed.expect("what is being revoked can be committed");
            }
            self.released.push((revoking.clone(), next));
        }
        let released = self.subscriber.release(&revoking).await;
        released.expect("what is being revoked can be released");
    }

    fn forget(&mut self, assignment: &Assignment) {
        let owned = self.owned.remove(&assignment.partition);
        assert_eq!(owned.as_ref(), Some(assignment), "taken away but not owned");
        self.expected.remove(&assignment.partition);
    }
}

/// Lets both poll in turn until `done`.
pub(super) async fn both<S: Subscriber>(
    a: &mut Member<S>,
    b: &mut Member<S>,
    what: &str,
    mut done: impl FnMut(&Member<S>, &Member<S>) -> bool,
) {
    let give_up = Instant::now() + PATIENCE;
    while !done(a, b) {
        assert!(Instant::now() < give_up, "waited for {what}: {a:#?} {b:#?}");
        a.turn().await;
        b.turn().await;
        let twice = a.owned.keys().find(|owned| b.owned.contains_key(owned));
        assert_eq!(twice, None, "owned by two members");
    }
}
