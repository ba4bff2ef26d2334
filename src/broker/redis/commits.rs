use std::sync::Arc;

use uuid::Uuid;

use super::{Redis, groups};
use crate::broker::holdings::fenced;
use crate::broker::{Assigned, Assignment, Commit, Committed, Position, Start, TopicPartition};
use crate::driver::redis::BACKEND;
use crate::error::{Error, Kind};

/// How far `group` has come in each of `new`. A group that has never committed there is known from now
/// on, and keeps the place where it begins.
pub(super) async fn find(
    broker: &Redis,
    group: &str,
    start: Start,
    new: Vec<Assignment>,
) -> Result<Vec<Assigned>, Error> {
    let keys = &broker.keys;
    let mut call = broker.scripts.assign.prepare_invoke();
    call.key(keys.been(group));
    call.arg(group).arg(u8::from(start == Start::Latest));
    for Assignment { partition, .. } in &new {
        call.key(keys.topic(&partition.topic))
            .key(keys.done(partition))
            .key(keys.log(partition))
            .arg(partition.partition);
    }
    let found: Vec<(u64, String)> = broker.run(&call, "poll").await?;
    new.into_iter()
        .zip(found)
        .map(|(assignment, (end, done))| {
            let committed = committed(&assignment.partition, end, &done)?;
            Ok(Assigned::new(assignment, committed))
        })
        .collect()
}

/// Commits all of `commits`, or none. `server` is where the records were read.
pub(super) async fn commit(
    broker: &Redis,
    group: &str,
    id: Uuid,
    server: Option<&str>,
    commits: &[Commit],
) -> Result<(), Error> {
    let keys = &broker.keys;
    let mut call = broker.scripts.commit.prepare_invoke();
    call.key(keys.claims(group))
        .arg(id.to_string())
        .arg(group)
        .arg(server.unwrap_or_default());
    for Commit {
        assignment,
        committed,
    } in commits
    {
        let Committed { next, metadata } = committed;
        let stored = match metadata {
            None => next.to_string(),
            Some(metadata) => format!("{next} {metadata}"),
        };
        call.key(keys.done(&assignment.partition))
            .key(keys.log(&assignment.partition))
            .arg(groups::field(&assignment.partition))
            .arg(assignment.epoch)
            .arg(next)
            .arg(stored);
    }
    let ended: usize = broker.run(&call, "commit").await?;
    match ended.checked_sub(1).and_then(|ended| commits.get(ended)) {
        None => Ok(()),
        Some(ended) => Err(fenced(&ended.assignment, BACKEND, "commit")),
    }
}

/// Where the next record of each of `partitions` will stand.
pub(super) async fn ends(
    broker: &Redis,
    partitions: Vec<TopicPartition>,
) -> Result<Vec<Position>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = ::redis::pipe();
    for TopicPartition { topic, partition } in &partitions {
        pipeline.hget(broker.keys.topic(topic), partition);
    }
    let mut connection = broker.link.get();
    let ends: Vec<Option<u64>> = pipeline
        .query_async(&mut connection)
        .await
        .map_err(|failed| broker.link.failed(failed, "ends"))?;
    // Nothing is noted of a partition until its first record.
    let ends = ends.into_iter().map(Option::unwrap_or_default);
    let positions = partitions.into_iter().zip(ends);
    Ok(positions
        .map(|(partition, end)| Position::new(partition, end))
        .collect())
}

/// What was stored for a partition whose next record gets offset `end`. A log that ends before that has
/// lost records, and the group goes on where it is.
fn committed(
    partition: &TopicPartition,
    end: u64,
    stored: &str,
) -> Result<Option<Committed>, Error> {
    if stored.is_empty() {
        return Ok(None);
    }
    let (next, metadata) = match stored.split_once(' ') {
        None => (stored, None),
        Some((next, metadata)) => (next, Some(metadata)),
    };
    let next: u64 = next.parse().map_err(|source| {
        Error::new(Kind::Corrupt, BACKEND, "poll")
            .with_detail(format!("commit of {partition}"))
            .with_source(source)
    })?;
    if next > end {
        tracing::warn!(%partition, next, end, "the log ends before the commit");
        return Ok(Some(Committed::new(end)));
    }
    let mut committed = Committed::new(next);
    committed.metadata = metadata.map(Arc::from);
    Ok(Some(committed))
}
