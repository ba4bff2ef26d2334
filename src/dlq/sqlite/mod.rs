mod queries;

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, SqlitePool};
use uuid::Uuid;

use super::row::StoredLetter;
use super::{DeadLetter, Filter, LetterId, Redriving, State, Store};
use crate::driver::Schema;
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};
use crate::message::blob;

const SCHEMA: Schema = Schema {
    module: "dlq",
    migrations: queries::MIGRATIONS,
};

/// Keeps dead letters in an SQLite database. A clone shares the pool.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// Keeps letters in the database of `pool`; call [`migrate`](Self::migrate) once before use.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Creates the table, or brings it to this build's version.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the database is newer than this build, else those of the database,
    /// e.g. [`Kind::ReadOnly`] when the file may not be written.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        sqlite::migrate(&self.pool, &SCHEMA).await
    }

    /// What [`migrate`](Self::migrate) runs on an empty database, for a tool that runs migrations: as
    /// one, in one transaction. `migrate` has nothing left to do then.
    #[must_use]
    pub fn migration_sql() -> String {
        sqlite::migration_sql(&SCHEMA)
    }
}

impl Store for Sqlite {
    async fn put(&self, letter: &DeadLetter) -> Result<LetterId, Error> {
        let partition = &letter.position.partition;
        let id: Uuid = sqlx::query_scalar(queries::PUT)
            .bind(letter.id.as_uuid())
            .bind(&*letter.group)
            .bind(&*partition.topic)
            .bind(i64::from(partition.partition))
            .bind(letter.position.offset.cast_signed())
            .bind(letter.record.partition.map(i64::from))
            .bind(letter.record.key.as_deref())
            .bind(&*blob::encode(&letter.record.headers)?)
            .bind(letter.record.payload.as_deref())
            .bind(&*letter.reason.kind)
            .bind(&*letter.reason.message)
            .bind(i64::from(letter.failures))
            .bind(letter.first_failed_at.timestamp_micros())
            .bind(letter.last_failed_at.timestamp_micros())
            .bind(i64::from(letter.redrives))
            .bind(letter.digest())
            .fetch_one(&self.pool)
            .await
            .map_err(sqlite::error("put"))?;
        Ok(LetterId::from(id))
    }

    async fn get(&self, id: LetterId) -> Result<Option<DeadLetter>, Error> {
        let error = sqlite::error("get");
        let mut connection = self.pool.acquire().await.map_err(error)?;
        find(&mut connection, id, "get").await
    }

    async fn query(&self, filter: &Filter) -> Result<Vec<DeadLetter>, Error> {
        let rows = sqlx::query(AssertSqlSafe(queries::query()))
            .bind(filter.group.as_deref())
            .bind(filter.topic.as_deref())
            .bind(filter.state.map(State::as_str))
            .bind(i64::try_from(filter.limit.get()).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(sqlite::error("query"))?;
        rows.iter().map(|row| letter(row, "query")).collect()
    }

    async fn count(&self, filter: &Filter) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(queries::count()))
            .bind(filter.group.as_deref())
            .bind(filter.topic.as_deref())
            .bind(filter.state.map(State::as_str))
            .fetch_one(&self.pool)
            .await
            .map_err(sqlite::error("count"))?;
        Ok(count.cast_unsigned())
    }

    async fn begin_redrive(&self, id: LetterId, lease: Duration) -> Result<Redriving, Error> {
        let error = sqlite::error("begin redrive");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        let mut letter = open(&mut tx, id, "begin redrive").await?;
        letter.state = State::Redriving;
        let redriving = Redriving::generate(letter);
        sqlx::query(queries::BEGIN_REDRIVE)
            .bind(id.as_uuid())
            .bind(redriving.nonce)
            .bind(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(redriving)
    }

    async fn end_redrive(&self, redriving: &Redriving, sent: bool) -> Result<(), Error> {
        let done = sqlx::query(queries::END_REDRIVE)
            .bind(redriving.letter.id.as_uuid())
            .bind(redriving.nonce)
            .bind(i64::from(sent))
            .execute(&self.pool)
            .await
            .map_err(sqlite::error("end redrive"))?;
        match done.rows_affected() {
            0 => Err(Error::new(Kind::Fenced, BACKEND, "end redrive")),
            _ => Ok(()),
        }
    }

    async fn discard(&self, id: LetterId) -> Result<(), Error> {
        let error = sqlite::error("discard");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        open(&mut tx, id, "discard").await?;
        sqlx::query(queries::DISCARD)
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)
    }
}

async fn find(
    connection: &mut SqliteConnection,
    id: LetterId,
    operation: &'static str,
) -> Result<Option<DeadLetter>, Error> {
    sqlx::query(AssertSqlSafe(queries::get()))
        .bind(id.as_uuid())
        .fetch_optional(connection)
        .await
        .map_err(sqlite::error(operation))?
        .map(|row| letter(&row, operation))
        .transpose()
}

async fn open(
    connection: &mut SqliteConnection,
    id: LetterId,
    operation: &'static str,
) -> Result<DeadLetter, Error> {
    let letter = find(connection, id, operation)
        .await?
        .ok_or_else(|| Error::new(Kind::NotFound, BACKEND, operation))?;
    match letter.state {
        State::Open => Ok(letter),
        state => Err(Error::new(Kind::Conflict, BACKEND, operation)
            .with_detail(format!("the letter is {}", state.as_str()))),
    }
}

fn letter(row: &SqliteRow, operation: &'static str) -> Result<DeadLetter, Error> {
    let stored = stored(row).map_err(sqlite::error(operation))?;
    stored.into_letter(BACKEND, operation)
}

fn stored(row: &SqliteRow) -> Result<StoredLetter, sqlx::Error> {
    Ok(StoredLetter {
        id: row.try_get("id")?,
        group: row.try_get("consumer_group")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        position: row.try_get("position")?,
        record_partition: row.try_get("record_partition")?,
        record_key: row.try_get("record_key")?,
        headers: row.try_get("headers")?,
        payload: row.try_get("payload")?,
        kind: row.try_get("kind")?,
        message: row.try_get("message")?,
        failures: row.try_get("failures")?,
        first_failed_at: row.try_get("first_failed_at")?,
        last_failed_at: row.try_get("last_failed_at")?,
        state: row.try_get("state")?,
        redrives: row.try_get("redrives")?,
    })
}
