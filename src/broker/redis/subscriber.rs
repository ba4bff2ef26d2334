use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::time::Instant;
use uuid::Uuid;

use super::feed::{Feed, Woken};
use super::{Redis, commits, groups};
use crate::broker::admission::unknown_topic;
use crate::broker::group::{Group, Member};
use crate::broker::holdings::{Change, Claims, Holdings, fenced};
use crate::broker::membership::{self, MAX_METADATA, Membership, check_metadata, not_subscribed};
use crate::broker::{
    Assigned, Assignment, Commit, Polled, Position, Start, Subscriber, TopicPartition,
};
use crate::clock::after;
use crate::driver::redis::{BACKEND, error};
use crate::error::Error;

/// A member of a group of a [`Redis`](crate::broker::Redis) broker.
///
/// Close it when done: one that is dropped stays a member until its session times out.
pub struct RedisSubscriber {
    broker: Redis,
    membership: Option<Membership>,
    /// Whether the group knows of the membership.
    joined: bool,
    /// Whether the log may have lost its end, so that the member has to begin anew.
    restarted: bool,
    holdings: Holdings,
    claims: Claims,
    /// The revision of the group that `claims` are from.
    revision: u64,
    next_heartbeat: Instant,
    feed: Feed,
}

impl RedisSubscriber {
    pub(super) fn new(broker: Redis) -> Self {
        Self {
            feed: Feed::new(broker.client.clone(), Redis::PATIENCE),
            broker,
            membership: None,
            joined: false,
            restarted: false,
            holdings: Holdings::default(),
            claims: Claims::new(),
            revision: 0,
            next_heartbeat: Instant::now(),
        }
    }

    /// Gives a sign of life, and learns what is ours. Joins again after the session has timed out.
    async fn heartbeat(&mut self) -> Result<(), Error> {
        let heartbeat = membership::heartbeat(self.broker.session_timeout);
        let due = after(Instant::now(), heartbeat);
        let (group, id) = self.member("poll")?;
        let (revision, mut alive) = groups::touch(&self.broker, &group, id).await?;
        if !alive || revision != self.revision {
            let mut state = groups::change(&self.broker, &group, id, "poll", |group, now| {
                alive = group.touch(id, now);
            })
            .await?;
            if !alive && self.holdings.is_empty() {
                state = self.join("poll").await?;
                alive = true;
            }
            self.learn(&state);
        }
        // What was lost is announced first; the poll after that joins again.
        self.next_heartbeat = if alive { due } else { Instant::now() };
        Ok(())
    }

    /// Joins under a new id.
    async fn join(&mut self, operation: &'static str) -> Result<Group, Error> {
        let (group, _) = self.member(operation)?;
        let mut topics = BTreeMap::new();
        let wanted = self.membership.as_ref().map(|member| member.topics.clone());
        for topic in wanted.unwrap_or_default() {
            self.broker.forget_count(&topic);
            let count = self.broker.count(&topic, operation).await?;
            let count = count.ok_or_else(|| unknown_topic(BACKEND, operation, &topic))?;
            topics.insert(topic, count.get());
        }
        let id = Uuid::now_v7();
        let timeout = membership::millis(self.broker.session_timeout);
        if let Some(member) = &mut self.membership {
            member.id = id;
        }
        let join = |group: &mut Group, now| {
            let member = Member {
                topics: topics.clone(),
                timeout,
                seen: now,
            };
            group.join(id, member);
        };
        groups::change(&self.broker, &group, id, operation, join).await
    }

    /// Gives everything up: the log may have lost its end, and the commits too.
    async fn begin_anew(&mut self) -> Result<(), Error> {
        let (group, id) = self.member("poll")?;
        let state = groups::change(&self.broker, &group, id, "poll", |group, _| {
            group.leave(id);
        })
        .await?;
        tracing::info!(
            group = &*group,
            "the server was started anew, joining again"
        );
        self.restarted = false;
        self.learn(&state);
        self.next_heartbeat = Instant::now();
        Ok(())
    }

    fn learn(&mut self, state: &Group) {
        if let Some(member) = &self.membership {
            let claims = state.claims_of(member.id);
            self.claims = claims
                .map(|(partition, claim)| (partition.clone(), claim))
                .collect();
            self.revision = state.revision();
        }
    }

    /// What the group says that the caller does not know yet.
    async fn change(&mut self) -> Result<Option<Polled>, Error> {
        let claims = &self.claims;
        match self.holdings.sync(self.revision, || claims.clone()) {
            Some(Change::Lost(lost)) => Ok(Some(Polled::Lost(lost))),
            Some(Change::Revoking(revoking)) => Ok(Some(Polled::Revoking(revoking))),
            Some(Change::New(new)) => self.assign(new).await.map(Some),
            None => Ok(None),
        }
    }

    /// Finds where to start in each of `new`.
    async fn assign(&mut self, new: Vec<Assignment>) -> Result<Polled, Error> {
        let (group, _) = self.member("poll")?;
        let start = self.membership.as_ref().map(|member| member.start);
        let start = start.unwrap_or_default();
        let assigned = commits::find(&self.broker, &group, start, new).await?;
        for Assigned {
            assignment,
            committed,
        } in &assigned
        {
            let next = committed.as_ref().map_or(0, |committed| committed.next);
            self.holdings.assign(assignment, next);
        }
        Ok(Polled::Assigned(assigned))
    }

    /// The group, and who we are to it.
    fn member(&self, operation: &'static str) -> Result<(Arc<str>, Uuid), Error> {
        self.membership
            .as_ref()
            .map(|member| (Arc::clone(&member.group), member.id))
            .ok_or_else(|| not_subscribed(BACKEND, operation))
    }
}

impl Subscriber for RedisSubscriber {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        // A subscribe that was dropped half-way has not joined, as far as its caller knows.
        let current = self.membership.as_ref().filter(|_| self.joined);
        let member = Membership::new(current, BACKEND, group, topics, start)?;
        self.membership = Some(member);
        let heartbeat = membership::heartbeat(self.broker.session_timeout);
        self.next_heartbeat = after(Instant::now(), heartbeat);
        match self.join("subscribe").await {
            Ok(state) => {
                self.learn(&state);
                self.joined = true;
                Ok(())
            }
            Err(error) => {
                self.membership = None;
                Err(error)
            }
        }
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        let (group, _) = self.member("poll")?;
        loop {
            if self.restarted {
                self.begin_anew().await?;
            } else if Instant::now() >= self.next_heartbeat {
                self.heartbeat().await?;
            }
            self.feed.follow(self.broker.link.generation());
            // Before anything is assigned, so that a server that takes this one's place is noticed.
            if self.feed.connect(self.next_heartbeat).await? {
                self.restarted = true;
                continue;
            }
            if let Some(polled) = self.change().await? {
                return Ok(polled);
            }
            let records = self.feed.take(&mut self.holdings, max.get());
            if !records.is_empty() {
                return Ok(Polled::Records(records));
            }
            let wanted = (self.holdings.cursors().collect(), max.get());
            let (keys, until) = (&self.broker.keys, self.next_heartbeat);
            let woken = self
                .feed
                .wait(keys, &group, self.revision, wanted, until)
                .await?;
            match woken {
                Woken::Read | Woken::Elapsed => {}
                Woken::Changed => self.next_heartbeat = Instant::now(),
                Woken::Restarted => self.restarted = true,
            }
        }
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let member = self.member("commit");
        let checked = check_metadata(BACKEND, MAX_METADATA, commits);
        let (broker, commits) = (self.broker.clone(), commits.to_vec());
        let server = self.feed.server().map(str::to_owned);
        let restarted = self.restarted;
        async move {
            let (group, id) = member?;
            checked?;
            match commits.first() {
                None => Ok(()),
                Some(first) if restarted => Err(fenced(&first.assignment, BACKEND, "commit")),
                Some(_) => commits::commit(&broker, &group, id, server.as_deref(), &commits).await,
            }
        }
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
        let member = self.member("ends");
        let (broker, partitions) = (self.broker.clone(), partitions.to_vec());
        async move {
            member?;
            commits::ends(&broker, partitions).await
        }
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        self.holdings.forget(partitions);
        let (group, id) = self.member("release")?;
        let state = groups::change(&self.broker, &group, id, "release", |group, _| {
            group.release(id, partitions);
        })
        .await?;
        self.learn(&state);
        Ok(())
    }

    fn pause(&mut self, partition: &TopicPartition) {
        self.holdings.set_paused(partition, true);
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.holdings.set_paused(partition, false);
    }

    async fn seek(&mut self, assignment: &Assignment, offset: u64) -> Result<(), Error> {
        let (group, id) = self.member("seek")?;
        let mut connection = self.broker.link.get();
        let claim: Option<String> = ::redis::cmd("HGET")
            .arg(self.broker.keys.claims(&group))
            .arg(groups::field(&assignment.partition))
            .query_async(&mut connection)
            .await
            .map_err(error("seek"))?;
        let ours = format!("{id} {}", assignment.epoch);
        let owned = claim.is_some_and(|claim| claim.trim_end_matches(" r") == ours);
        if owned && self.holdings.seek(assignment, offset) {
            return Ok(());
        }
        Err(fenced(assignment, BACKEND, "seek"))
    }

    async fn close(self) -> Result<(), Error> {
        let Ok((group, id)) = self.member("close") else {
            return Ok(());
        };
        groups::change(&self.broker, &group, id, "close", |group, _| {
            group.leave(id)
        })
        .await
        .map(drop)
    }
}

impl fmt::Debug for RedisSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSubscriber")
            .field("broker", &self.broker)
            .field("membership", &self.membership)
            .field("holdings", &self.holdings)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}
