use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Redis;
use crate::broker::TopicPartition;
use crate::broker::admission::unknown_topic;
use crate::broker::group::{Claim, Group, Member};
use crate::driver::redis::{BACKEND, error};
use crate::error::{Error, Kind};

/// How often others may change a group in the time between reading and writing it. One of those who
/// try gets through each time.
const TURNS: u32 = 1_000;

/// What a member wants, as it is stored. Its signs of life are kept apart, as they change often.
#[derive(Serialize, Deserialize)]
struct Stored {
    topics: BTreeMap<Arc<str>, u32>,
    timeout_ms: u64,
}

/// Gives a sign of life of the member `id`. Returns the revision of `group`, and whether it needs no
/// change: the member lives, and nobody is overdue.
pub(super) async fn touch(broker: &Redis, group: &str, id: Uuid) -> Result<(u64, bool), Error> {
    let mut call = broker.scripts.touch.prepare_invoke();
    call.key(broker.keys.revision(group))
        .key(broker.keys.seen(group))
        .arg(id.to_string());
    broker.run(&call, "poll").await
}

/// Lets `apply` change `group` for the member `id`, at the time it is given, and stores what came of it,
/// unless somebody else was faster: then again.
pub(super) async fn change<F>(
    broker: &Redis,
    group: &str,
    id: Uuid,
    operation: &'static str,
    mut apply: F,
) -> Result<Group, Error>
where
    F: FnMut(&mut Group, u64) + Send,
{
    for _ in 0..TURNS {
        let loaded = load(broker, group, operation).await?;
        let mut state = loaded.group;
        let before = state.revision();
        apply(&mut state, loaded.now);
        if state.revision() == before {
            return Ok(Group::from_parts(
                state.members().clone(),
                state.claims().clone(),
                loaded.revision,
            ));
        }
        if save(broker, group, id, loaded.revision, &state, operation).await? {
            return Ok(state);
        }
    }
    let detail = format!("group {group} changes all the time");
    Err(Error::new(Kind::Contention, BACKEND, operation).with_detail(detail))
}

/// Deletes all that is known of `group`, unless it has members; `false` when there is nothing.
pub(super) async fn delete(broker: &Redis, group: &str) -> Result<bool, Error> {
    const OPERATION: &str = "delete group";
    // Those who are overdue are no members.
    change(broker, group, Uuid::nil(), OPERATION, |group, now| {
        group.touch(Uuid::nil(), now);
    })
    .await?;
    let keys = &broker.keys;
    let mut call = broker.scripts.delete.prepare_invoke();
    call.key(keys.members(group))
        .key(keys.been(group))
        .key(keys.revision(group))
        .key(keys.seen(group))
        .key(keys.claims(group))
        .key(keys.changes(group))
        .arg(group);
    let been: i64 = broker.run(&call, OPERATION).await?;
    if been < 0 {
        let detail = format!("group {group} has members");
        return Err(Error::new(Kind::Conflict, BACKEND, OPERATION).with_detail(detail));
    }
    Ok(been > 0)
}

/// The groups that were ever assigned a partition of `topic`, but for those that were deleted.
pub(super) async fn known(broker: &Redis, topic: &Arc<str>) -> Result<Vec<String>, Error> {
    const OPERATION: &str = "list groups";
    let count = broker.count(topic, OPERATION).await?;
    let count = count.ok_or_else(|| unknown_topic(BACKEND, OPERATION, topic))?;
    let mut each = ::redis::pipe();
    for partition in 0..count.get() {
        let partition = TopicPartition::new(Arc::clone(topic), partition);
        each.cmd("HKEYS").arg(broker.keys.done(&partition));
    }
    let mut connection = broker.link.get();
    let found: Vec<Vec<String>> = each
        .query_async(&mut connection)
        .await
        .map_err(error(OPERATION))?;
    let known: BTreeSet<_> = found.into_iter().flatten().collect();
    Ok(known.into_iter().collect())
}

struct Loaded {
    group: Group,
    /// As it is stored.
    revision: u64,
    now: u64,
}

/// Id to member, as stored; id to sign of life and time allowed; partition to owner, epoch and `r` when
/// it is to be given back.
type Rows = (
    u64,
    u64,
    HashMap<String, String>,
    HashMap<String, String>,
    HashMap<String, String>,
);

/// Reads a group. Its revision is at least the time in microseconds, so that epochs never come again,
/// also when the server has lost its data, or the last of it.
async fn load(broker: &Redis, group: &str, operation: &'static str) -> Result<Loaded, Error> {
    let keys = &broker.keys;
    let mut call = broker.scripts.load.prepare_invoke();
    call.key(keys.revision(group))
        .key(keys.members(group))
        .key(keys.seen(group))
        .key(keys.claims(group));
    let (revision, micros, rows, seen, claims): Rows = broker.run(&call, operation).await?;
    let now = micros / 1_000;
    let corrupt = |what: &str| {
        Error::new(Kind::Corrupt, BACKEND, operation)
            .with_detail(format!("{what} of group {group}"))
    };
    let mut members = BTreeMap::new();
    for (id, row) in rows {
        let stored: Stored =
            serde_json::from_str(&row).map_err(|source| corrupt("a member").with_source(source))?;
        let seen = seen
            .get(&id)
            .and_then(|seen| seen.split(' ').next()?.parse().ok());
        let member = Member {
            topics: stored.topics,
            timeout: stored.timeout_ms,
            // One from the future counts as given now.
            seen: seen.unwrap_or(0).min(now),
        };
        members.insert(
            id.parse()
                .map_err(|source| corrupt("a member").with_source(source))?,
            member,
        );
    }
    let claims: Option<BTreeMap<_, _>> = claims.iter().map(claim).collect();
    let claims = claims.ok_or_else(|| corrupt("a claim"))?;
    Ok(Loaded {
        group: Group::from_parts(members, claims, revision.max(micros)),
        revision,
        now,
    })
}

/// Stores `state`; `false` when the group is no longer at `revision`.
async fn save(
    broker: &Redis,
    group: &str,
    id: Uuid,
    revision: u64,
    state: &Group,
    operation: &'static str,
) -> Result<bool, Error> {
    let keys = &broker.keys;
    let mut call = broker.scripts.save.prepare_invoke();
    call.key(keys.revision(group))
        .key(keys.members(group))
        .key(keys.seen(group))
        .key(keys.claims(group))
        .key(keys.changes(group))
        .arg(revision)
        .arg(state.revision())
        .arg(id.to_string())
        .arg(state.members().len());
    for (id, member) in state.members() {
        let stored = Stored {
            topics: member.topics.clone(),
            timeout_ms: member.timeout,
        };
        let stored = serde_json::to_string(&stored)
            .map_err(|source| Error::new(Kind::Invalid, BACKEND, operation).with_source(source))?;
        call.arg(id.to_string())
            .arg(stored)
            .arg(format!("{} {}", member.seen, member.timeout));
    }
    for (partition, claim) in state.claims() {
        let revoking = if claim.revoking { " r" } else { "" };
        call.arg(field(partition))
            .arg(format!("{} {}{revoking}", claim.owner, claim.epoch));
    }
    broker.run(&call, operation).await
}

/// The name of a partition among the claims of its group.
pub(super) fn field(partition: &TopicPartition) -> String {
    partition.to_string()
}

fn claim((field, value): (&String, &String)) -> Option<(TopicPartition, Claim)> {
    let (topic, partition) = field.rsplit_once('/')?;
    let mut parts = value.split(' ');
    let claim = Claim {
        owner: parts.next()?.parse().ok()?,
        epoch: parts.next()?.parse().ok()?,
        revoking: parts.next().is_some(),
    };
    Some((TopicPartition::new(topic, partition.parse().ok()?), claim))
}
