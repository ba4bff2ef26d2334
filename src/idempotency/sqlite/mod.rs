mod queries;

use std::time::Duration;

use bytes::Bytes;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteQueryResult;

use super::{Claim, Fingerprint, Key, Store, Token};
use crate::driver::Schema;
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{Error, Kind};

const SCHEMA: Schema = Schema {
    module: "idempotency",
    migrations: queries::MIGRATIONS,
};

/// Remembers in an SQLite database. A clone shares the pool.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// Remembers in the database of `pool`; call [`migrate`](Self::migrate) once before use.
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

    /// Deletes what has expired and returns how many keys that were; run it now and then.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is deleted that has expired, or nothing.
    pub async fn sweep(&self) -> Result<u64, Error> {
        sqlx::query(queries::SWEEP)
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
            .map_err(sqlite::error("sweep"))
    }
}

impl Store for Sqlite {
    async fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Claim, Error> {
        let error = sqlite::error("claim");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        let now: i64 = sqlx::query_scalar(queries::NOW)
            .fetch_one(&mut *tx)
            .await
            .map_err(&error)?;
        let row: Option<(Option<String>, i64, Option<Vec<u8>>, i64)> =
            sqlx::query_as(queries::FIND)
                .bind(key.scope())
                .bind(key.id())
                .bind(now)
                .fetch_optional(&mut *tx)
                .await
                .map_err(&error)?;
        if let Some((stored, done, result, expires_at)) = row {
            if stored.as_deref() != fingerprint.map(Fingerprint::as_str) {
                return Ok(Claim::Mismatch);
            }
            return match (done, result) {
                (0, None) => Ok(Claim::InProgress(Duration::from_millis(
                    expires_at.abs_diff(now),
                ))),
                (1, Some(result)) => Ok(Claim::Completed(result.into())),
                _ => Err(Error::new(Kind::Corrupt, BACKEND, "claim")
                    .with_detail(format!("the row of {key} is neither claimed nor done"))),
            };
        }
        let token = Token::generate(key.clone());
        sqlx::query(queries::CLAIM)
            .bind(key.scope())
            .bind(key.id())
            .bind(fingerprint.map(Fingerprint::as_str))
            .bind(token.nonce)
            .bind(now.saturating_add(millis(lease)))
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(Claim::Acquired(token))
    }

    async fn complete(&self, token: &Token, result: Bytes, keep: Duration) -> Result<(), Error> {
        let done = sqlx::query(queries::COMPLETE)
            .bind(token.key.scope())
            .bind(token.key.id())
            .bind(token.nonce)
            .bind(&*result)
            .bind(millis(keep))
            .execute(&self.pool)
            .await;
        fence(done, token, "complete")
    }

    async fn extend(&self, token: &Token, lease: Duration) -> Result<(), Error> {
        let done = sqlx::query(queries::EXTEND)
            .bind(token.key.scope())
            .bind(token.key.id())
            .bind(token.nonce)
            .bind(millis(lease))
            .execute(&self.pool)
            .await;
        fence(done, token, "extend")
    }

    async fn abandon(&self, token: &Token) -> Result<(), Error> {
        let done = sqlx::query(queries::ABANDON)
            .bind(token.key.scope())
            .bind(token.key.id())
            .bind(token.nonce)
            .execute(&self.pool)
            .await;
        fence(done, token, "abandon")
    }
}

/// A statement that found no row of the token met a newer claim.
fn fence(
    done: Result<SqliteQueryResult, sqlx::Error>,
    token: &Token,
    operation: &'static str,
) -> Result<(), Error> {
    match done.map_err(sqlite::error(operation))?.rows_affected() {
        0 => Err(token.fenced(BACKEND, operation)),
        _ => Ok(()),
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
