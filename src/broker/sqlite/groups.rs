use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::queries;
use crate::broker::TopicPartition;
use crate::broker::group::{Claim, Group, Member};
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};

/// Lets `apply` change `group` for the member `id`, at the time it is given, and stores what came of
/// it. All of it is one transaction that no other process comes between.
pub(super) async fn change<F>(
    pool: &SqlitePool,
    group: &str,
    id: Uuid,
    operation: &'static str,
    apply: F,
) -> Result<Group, Error>
where
    F: FnOnce(&mut Group, u64) + Send,
{
    let error = sqlite::error(operation);
    let mut tx = pool.begin_with(BEGIN).await.map_err(&error)?;
    let now: i64 = sqlx::query_scalar(queries::NOW)
        .fetch_one(&mut *tx)
        .await
        .map_err(&error)?;
    let (mut state, clock_went_back) = load(&mut tx, group, now.cast_unsigned(), operation).await?;
    let before = state.revision();
    apply(&mut state, now.cast_unsigned());
    if state.revision() != before || clock_went_back {
        save(&mut tx, group, &state).await.map_err(&error)?;
    } else if state.members().contains_key(&id) {
        sqlx::query(queries::TOUCH)
            .bind(group)
            .bind(id)
            .bind(now)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
    }
    tx.commit().await.map_err(&error)?;
    Ok(state)
}

/// Reads a group. Signs of life from the future tell that the clock went back; they count as given
/// now, or a dead member would stay until that time.
async fn load(
    tx: &mut SqliteConnection,
    group: &str,
    now: u64,
    operation: &'static str,
) -> Result<(Group, bool), Error> {
    let error = sqlite::error(operation);
    let revision: Option<i64> = sqlx::query_scalar(queries::GROUP)
        .bind(group)
        .fetch_optional(&mut *tx)
        .await
        .map_err(&error)?;
    let rows: Vec<(Uuid, String, i64, i64)> = sqlx::query_as(queries::MEMBERS)
        .bind(group)
        .fetch_all(&mut *tx)
        .await
        .map_err(&error)?;
    let mut clock_went_back = false;
    let mut members = BTreeMap::new();
    for (id, topics, timeout, seen) in rows {
        let topics = serde_json::from_str(&topics).map_err(|source| {
            Error::new(Kind::Corrupt, BACKEND, operation)
                .with_detail(format!("topics of member {id}"))
                .with_source(source)
        })?;
        clock_went_back |= seen.cast_unsigned() > now;
        let member = Member {
            topics,
            timeout: timeout.cast_unsigned(),
            seen: seen.cast_unsigned().min(now),
        };
        members.insert(id, member);
    }
    let rows: Vec<(String, u32, Uuid, i64, bool)> = sqlx::query_as(queries::CLAIMS)
        .bind(group)
        .fetch_all(&mut *tx)
        .await
        .map_err(&error)?;
    let claims = rows
        .into_iter()
        .map(|(topic, partition, owner, epoch, revoking)| {
            let claim = Claim {
                owner,
                epoch: epoch.cast_unsigned(),
                revoking,
            };
            (TopicPartition::new(topic, partition), claim)
        })
        .collect();
    let revision = revision.unwrap_or(0).cast_unsigned();
    Ok((
        Group::from_parts(members, claims, revision),
        clock_went_back,
    ))
}

async fn save(tx: &mut SqliteConnection, group: &str, state: &Group) -> Result<(), sqlx::Error> {
    sqlx::query(queries::SAVE_GROUP)
        .bind(group)
        .bind(state.revision().cast_signed())
        .execute(&mut *tx)
        .await?;
    for delete in [queries::DELETE_MEMBERS, queries::DELETE_CLAIMS] {
        sqlx::query(delete).bind(group).execute(&mut *tx).await?;
    }
    for (id, member) in state.members() {
        sqlx::query(queries::SAVE_MEMBER)
            .bind(group)
            .bind(id)
            .bind(topics(&member.topics)?)
            .bind(i64::try_from(member.timeout).unwrap_or(i64::MAX))
            .bind(member.seen.cast_signed())
            .execute(&mut *tx)
            .await?;
    }
    for (partition, claim) in state.claims() {
        sqlx::query(queries::SAVE_CLAIM)
            .bind(group)
            .bind(&*partition.topic)
            .bind(partition.partition)
            .bind(claim.owner)
            .bind(claim.epoch.cast_signed())
            .bind(claim.revoking)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

fn topics(topics: &BTreeMap<Arc<str>, u32>) -> Result<String, sqlx::Error> {
    serde_json::to_string(topics).map_err(|source| sqlx::Error::Encode(source.into()))
}
