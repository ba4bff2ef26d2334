use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row as _, Sqlite};
use tokio::sync::watch;
use tokio::time::{self, Instant};
use uuid::Uuid;

use super::read::{self, Ends};
use super::{Shared, groups, queries};
use crate::broker::group::{Group, Member};
use crate::broker::holdings::{Change, Claims, Holdings, fenced};
use crate::broker::membership::{self, MAX_METADATA, Membership, check_metadata, not_subscribed};
use crate::broker::{
    Assigned, Assignment, Commit, Committed, Polled, Position, Received, Start, Subscriber,
    TopicPartition,
};
use crate::clock::after;
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};

/// The pause after a look at the file that found something, and the longest one: together a new
/// record of another process waits 100 ms at most, and a quiet subscriber looks 10 times a second.
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// A member of a group of a [`Sqlite`](crate::broker::Sqlite) broker.
///
/// Close it when done: one that is dropped stays a member until its session times out.
pub struct SqliteSubscriber {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    timeout: Duration,
    membership: Option<Membership>,
    /// Whether the group knows of the membership.
    joined: bool,
    /// The topics as a JSON list, to bind to a statement.
    topics_json: String,
    holdings: Holdings,
    claims: Claims,
    /// The revision of the group that `claims` are from.
    revision: u64,
    next_heartbeat: Instant,
    pause: Duration,
}

impl SqliteSubscriber {
    pub(super) fn new(shared: Arc<Shared>, timeout: Duration) -> Self {
        Self {
            changes: shared.changed.subscribe(),
            shared,
            timeout,
            membership: None,
            joined: false,
            topics_json: String::new(),
            holdings: Holdings::default(),
            claims: Claims::new(),
            revision: 0,
            next_heartbeat: Instant::now(),
            pause: MIN_PAUSE,
        }
    }

    /// What there is without waiting.
    async fn try_poll(&mut self, max: NonZeroUsize) -> Result<Option<Polled>, Error> {
        let member = self.member("poll")?;
        let readers = &self.shared.readers;
        let (revision, ends) =
            read::look(readers, &member.group, &self.topics_json, "poll").await?;
        if revision != self.revision || Instant::now() >= self.next_heartbeat {
            self.heartbeat().await?;
        }
        let claims = &self.claims;
        match self.holdings.sync(self.revision, || claims.clone()) {
            Some(Change::Lost(lost)) => Ok(Some(Polled::Lost(lost))),
            Some(Change::Revoking(revoking)) => Ok(Some(Polled::Revoking(revoking))),
            Some(Change::New(new)) => self.assign(new).await.map(Some),
            None => self.read(&ends, max).await,
        }
    }

    /// Gives a sign of life, and learns what is ours. Joins again after the session has timed out.
    async fn heartbeat(&mut self) -> Result<(), Error> {
        let due = after(Instant::now(), membership::heartbeat(self.timeout));
        let member = self.member("poll")?;
        let (group, id) = (Arc::clone(&member.group), member.id);
        let writer = &self.shared.writer;
        let mut alive = false;
        let mut state = groups::change(writer, &group, id, "poll", |group, now| {
            alive = group.touch(id, now);
        })
        .await?;
        if !alive && self.holdings.is_empty() {
            state = self.join("poll").await?;
            alive = true;
        }
        self.learn(&state);
        // What was lost is announced first; the poll after that joins again.
        self.next_heartbeat = if alive { due } else { Instant::now() };
        Ok(())
    }

    /// Joins under a new id.
    async fn join(&mut self, operation: &'static str) -> Result<Group, Error> {
        let member = self.member(operation)?;
        let topics = read::counts(&self.shared.readers, &member.topics, operation).await?;
        let (group, id) = (Arc::clone(&member.group), Uuid::now_v7());
        let timeout = membership::millis(self.timeout);
        let join = |group: &mut Group, now| {
            let member = Member {
                topics,
                timeout,
                seen: now,
            };
            group.join(id, member);
        };
        if let Some(member) = &mut self.membership {
            member.id = id;
        }
        let state = groups::change(&self.shared.writer, &group, id, operation, join).await?;
        self.shared.changed();
        Ok(state)
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

    /// Finds where to start in each of `new`.
    async fn assign(&mut self, new: Vec<Assignment>) -> Result<Polled, Error> {
        let error = sqlite::error("poll");
        let member = self.member("poll")?;
        let mut found = Vec::with_capacity(new.len());
        if member.start == Start::Latest {
            let mut tx = self.shared.writer.begin_with(BEGIN).await.map_err(&error)?;
            for assignment in &new {
                bind(queries::COMMIT_END, &member.group, &assignment.partition)
                    .execute(&mut *tx)
                    .await
                    .map_err(&error)?;
            }
            tx.commit().await.map_err(&error)?;
        }
        for assignment in &new {
            let committed = bind(queries::COMMITTED, &member.group, &assignment.partition)
                .try_map(|row: SqliteRow| {
                    let mut committed = Committed::new(row.try_get::<i64, _>(0)?.cast_unsigned());
                    committed.metadata = row.try_get::<Option<String>, _>(1)?.map(Arc::from);
                    Ok(committed)
                })
                .fetch_optional(&self.shared.readers)
                .await
                .map_err(&error)?;
            found.push(committed);
        }
        let assigned = new.into_iter().zip(found).map(|(assignment, committed)| {
            let next = committed.as_ref().map_or(0, |committed| committed.next);
            self.holdings.assign(&assignment, next);
            Assigned::new(assignment, committed)
        });
        Ok(Polled::Assigned(assigned.collect()))
    }

    /// At most `max` records of the partitions that are ours.
    async fn read(&mut self, ends: &Ends, max: NonZeroUsize) -> Result<Option<Polled>, Error> {
        let mut records: Vec<Received> = Vec::new();
        for cursor in self.holdings.readable() {
            let room = max.get() - records.len();
            let end = ends
                .get(&cursor.partition)
                .filter(|end| room > 0 && end.offset > cursor.next);
            if let Some(end) = end {
                let readers = &self.shared.readers;
                records.extend(read::fetch(readers, &cursor, end.id, room).await?);
            }
        }
        for received in &records {
            let position = &received.position;
            self.holdings
                .advance(&position.partition, position.offset + 1);
        }
        Ok((!records.is_empty()).then_some(Polled::Records(records)))
    }

    fn member(&self, operation: &'static str) -> Result<&Membership, Error> {
        self.membership
            .as_ref()
            .ok_or_else(|| not_subscribed(BACKEND, operation))
    }
}

impl Subscriber for SqliteSubscriber {
    async fn subscribe(
        &mut self,
        group: &str,
        topics: &[Arc<str>],
        start: Start,
    ) -> Result<(), Error> {
        // A subscribe that was dropped half-way has not joined, as far as its caller knows.
        let current = self.membership.as_ref().filter(|_| self.joined);
        let member = Membership::new(current, BACKEND, group, topics, start)?;
        self.topics_json = serde_json::to_string(topics).map_err(|source| {
            Error::new(Kind::Invalid, BACKEND, "subscribe").with_source(source)
        })?;
        self.membership = Some(member);
        let heartbeat = membership::heartbeat(self.timeout);
        self.next_heartbeat = after(Instant::now(), heartbeat);
        match self.join("subscribe").await {
            Ok(state) => {
                self.learn(&state);
                self.joined = true;
            }
            Err(error) => {
                self.membership = None;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn poll(&mut self, max: NonZeroUsize) -> Result<Polled, Error> {
        loop {
            self.changes.mark_unchanged();
            if let Some(polled) = self.try_poll(max).await? {
                self.pause = MIN_PAUSE;
                return Ok(polled);
            }
            let due = self
                .next_heartbeat
                .saturating_duration_since(Instant::now());
            // That time has passed is as good a reason to look again as a change is.
            drop(time::timeout(self.pause.min(due), self.changes.changed()).await);
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
    }

    fn commit(
        &mut self,
        commits: &[Commit],
    ) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let member = self.member("commit");
        let member = member.map(|member| (Arc::clone(&member.group), member.id));
        let checked = check_metadata(BACKEND, MAX_METADATA, commits);
        let (shared, commits) = (Arc::clone(&self.shared), commits.to_vec());
        async move {
            let (group, id) = member?;
            checked?;
            if commits.is_empty() {
                return Ok(());
            }
            let error = sqlite::error("commit");
            let mut tx = shared.writer.begin_with(BEGIN).await.map_err(&error)?;
            for Commit {
                assignment,
                committed,
            } in &commits
            {
                let done = bind(queries::COMMIT, &group, &assignment.partition)
                    .bind(id)
                    .bind(assignment.epoch.cast_signed())
                    .bind(i64::try_from(committed.next).unwrap_or(i64::MAX))
                    .bind(committed.metadata.as_deref())
                    .execute(&mut *tx)
                    .await
                    .map_err(&error)?;
                if done.rows_affected() == 0 {
                    return Err(fenced(assignment, BACKEND, "commit"));
                }
            }
            tx.commit().await.map_err(&error)
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
        let asked = member.map(|member| (Arc::clone(&member.group), self.topics_json.clone()));
        let (shared, partitions) = (Arc::clone(&self.shared), partitions.to_vec());
        async move {
            let (group, topics) = asked?;
            let (_, ends) = read::look(&shared.readers, &group, &topics, "ends").await?;
            let position = |partition: TopicPartition| {
                let end = ends.get(&partition)?.offset;
                Some(Position::new(partition, end))
            };
            Ok(partitions.into_iter().filter_map(position).collect())
        }
    }

    async fn release(&mut self, partitions: &[Assignment]) -> Result<(), Error> {
        self.holdings.forget(partitions);
        let member = self.member("release")?;
        let (group, id) = (Arc::clone(&member.group), member.id);
        let state = groups::change(&self.shared.writer, &group, id, "release", |group, _| {
            group.release(id, partitions);
        })
        .await?;
        self.learn(&state);
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
        let member = self.member("seek")?;
        let owned = bind(queries::OWNS, &member.group, &assignment.partition)
            .bind(member.id)
            .bind(assignment.epoch.cast_signed())
            .fetch_optional(&self.shared.readers)
            .await
            .map_err(sqlite::error("seek"))?;
        if owned.is_some() && self.holdings.seek(assignment, offset) {
            return Ok(());
        }
        Err(fenced(assignment, BACKEND, "seek"))
    }

    async fn close(self) -> Result<(), Error> {
        let Some(member) = &self.membership else {
            return Ok(());
        };
        let id = member.id;
        groups::change(
            &self.shared.writer,
            &member.group,
            id,
            "close",
            |group, _| {
                group.leave(id);
            },
        )
        .await?;
        self.shared.changed();
        Ok(())
    }
}

impl fmt::Debug for SqliteSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSubscriber")
            .field("path", &self.shared.path)
            .field("membership", &self.membership)
            .field("holdings", &self.holdings)
            .field("session_timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A statement about one partition of one group.
fn bind<'q>(
    sql: &'static str,
    group: &'q str,
    partition: &'q TopicPartition,
) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(sql)
        .bind(group)
        .bind(&*partition.topic)
        .bind(partition.partition)
}
