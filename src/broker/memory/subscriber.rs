use std::fmt;
use std::future::{Future, ready};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time;
use uuid::Uuid;

use super::state::State;
use super::{BACKEND, Shared};
use crate::broker::holdings::{Change, Holdings, fenced};
use crate::broker::membership::{self, MAX_METADATA, Membership, not_subscribed};
use crate::broker::{
    Assigned, Assignment, Commit, Polled, Position, Start, Subscriber, TopicPartition,
};
use crate::error::Error;

/// A member of a group of a [`Memory`](super::Memory) broker.
///
/// Dropping it leaves the group, as closing does.
pub struct MemorySubscriber {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    timeout: Duration,
    membership: Option<Membership>,
    holdings: Holdings,
}

impl MemorySubscriber {
    pub(super) fn new(shared: Arc<Shared>, timeout: Duration) -> Self {
        Self {
            changes: shared.changed.subscribe(),
            shared,
            timeout,
            membership: None,
            holdings: Holdings::default(),
        }
    }

    /// What there is without waiting.
    fn try_poll(&mut self, max: NonZeroUsize) -> Result<Option<Polled>, Error> {
        let member = self
            .membership
            .as_mut()
            .ok_or_else(|| not_subscribed(BACKEND, "poll"))?;
        let mut state = self.shared.state();
        let before = state.revision(&member.group);
        let is_member = state.touch(&member.group, member.id);
        let revision = state.revision(&member.group);
        if revision != before {
            self.shared.changed();
        }
        let polled = match self
            .holdings
            .sync(revision, || state.claims(&member.group, member.id))
        {
            Some(Change::Lost(lost)) => Some(Polled::Lost(lost)),
            Some(Change::Revoking(revoking)) => Some(Polled::Revoking(revoking)),
            Some(Change::New(new)) => {
                let assigned = new.into_iter().map(|assignment| {
                    let partition = &assignment.partition;
                    let committed = state.committed(&member.group, partition, member.start);
                    let next = committed.as_ref().map_or(0, |committed| committed.next);
                    self.holdings.assign(&assignment, next);
                    Assigned::new(assignment, committed)
                });
                Some(Polled::Assigned(assigned.collect()))
            }
            None if !is_member => {
                join(&mut state, member, self.timeout)?;
                drop(state);
                self.shared.changed();
                return self.try_poll(max);
            }
            None => read(&state, &mut self.holdings, max),
        };
        Ok(polled)
    }

    fn leave(&mut self) {
        if let Some(member) = self.membership.take() {
            self.shared.state().leave(&member.group, member.id);
            self.shared.changed();
        }
    }
}

impl Subscriber for MemorySubscriber {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        let mut member = Membership::new(self.membership.as_ref(), BACKEND, group, topics, start)?;
        join(&mut self.shared.state(), &mut member, self.timeout)?;
        self.membership = Some(member);
        self.shared.changed();
        Ok(())
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        // A member with a backlog never waits; it must let others run all the same.
        tokio::task::consume_budget().await;
        loop {
            self.changes.mark_unchanged();
            if let Some(polled) = self.try_poll(max)? {
                return Ok(polled);
            }
            // Waiting is a sign of life too, and a silent member is noticed by those who wait. That
            // time has passed is as good a reason to look again as a change is.
            let pause = membership::heartbeat(self.timeout);
            drop(time::timeout(pause, self.changes.changed()).await);
        }
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let member = self.membership.as_ref();
        let member = member.ok_or_else(|| not_subscribed(BACKEND, "commit"));
        let committed = member.and_then(|member| {
            self.shared
                .state()
                .commit(&member.group, member.id, commits)
        });
        ready(committed)
    }

    fn max_metadata(&self) -> usize {
        MAX_METADATA
    }

    fn system(&self) -> &'static str {
        BACKEND
    }

    fn ends(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Position>, Error>> + Send + use<> {
        let member = self.membership.as_ref();
        let member = member.ok_or_else(|| not_subscribed(BACKEND, "ends"));
        ready(member.map(|_| self.shared.state().ends(partitions)))
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        let member = self
            .membership
            .as_ref()
            .ok_or_else(|| not_subscribed(BACKEND, "release"))?;
        self.holdings.forget(partitions);
        self.shared
            .state()
            .release(&member.group, member.id, partitions);
        self.shared.changed();
        Ok(())
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.holdings.set_paused(partition, true);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.holdings.set_paused(partition, false);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        let member = self
            .membership
            .as_ref()
            .ok_or_else(|| not_subscribed(BACKEND, "seek"))?;
        self.shared
            .state()
            .owns(&member.group, member.id, assignment, "seek")?;
        if self.holdings.seek(assignment, offset) {
            return Ok(());
        }
        Err(fenced(assignment, BACKEND, "seek"))
    }

    async fn close(mut self) -> Result<(), Error> {
        self.leave();
        Ok(())
    }
}

impl Drop for MemorySubscriber {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for MemorySubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySubscriber")
            .field("membership", &self.membership)
            .field("holdings", &self.holdings)
            .field("session_timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Joins, or joins again, under a new id.
fn join(state: &mut State, member: &mut Membership, timeout: Duration) -> Result<(), Error> {
    let counts = state.counts(&member.topics)?;
    member.id = Uuid::now_v7();
    let timeout = membership::millis(timeout);
    state.join(&member.group, member.id, counts, timeout);
    Ok(())
}

fn read(state: &State, holdings: &mut Holdings, max: NonZeroUsize) -> Option<Polled> {
    let mut records = Vec::new();
    for cursor in holdings.readable() {
        let room = max.get() - records.len();
        if room == 0 {
            break;
        }
        let read = state.read(&cursor, room);
        if let Some(last) = read.last() {
            holdings.advance(&cursor.partition, last.position.offset + 1);
        }
        records.extend(read);
    }
    (!records.is_empty()).then_some(Polled::Records(records))
}
