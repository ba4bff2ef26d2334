mod queries;

use std::time::Duration;

use bytes::Bytes;
use sqlx::PgPool;
use sqlx::postgres::PgQueryResult;

use super::{Claim, Fingerprint, Key, Store, Token};
use crate::driver::Schema;
use crate::driver::postgres::{self, BACKEND};
use crate::error::{Error, Kind};

const SCHEMA: Schema = Schema {
    module: "idempotency",
    migrations: queries::MIGRATIONS,
};

/// How often a claim looks for the row that kept it from the key.
const LOOKS: u32 = 5;

/// Remembers in a PostgreSQL database. A clone shares the pool.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Remembers in the database of `pool`; call [`migrate`](Self::migrate) once before use.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Creates the table, or brings it to this build's version.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the database is newer than this build, else those of the database,
    /// e.g. [`Kind::Unauthorized`] when the tables may not be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        postgres::migrate(&self.pool, &SCHEMA).await
    }

    /// What [`migrate`](Self::migrate) runs on an empty database, for a tool that runs migrations: as
    /// one, in one transaction. `migrate` has nothing left to do then.
    #[must_use]
    pub fn migration_sql() -> String {
        postgres::migration_sql(&SCHEMA)
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
            .map_err(postgres::error("sweep"))
    }

    /// The answer of the row that holds `key`, if it still does.
    async fn find(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
    ) -> Result<Option<Claim>, Error> {
        let row: Option<(Option<String>, bool, Option<Vec<u8>>, i64)> =
            sqlx::query_as(queries::FIND)
                .bind(key.scope())
                .bind(key.id())
                .fetch_optional(&self.pool)
                .await
                .map_err(postgres::error("claim"))?;
        let Some((stored, done, result, left)) = row.filter(|row| row.3 > 0) else {
            return Ok(None);
        };
        if stored.as_deref() != fingerprint.map(Fingerprint::as_str) {
            return Ok(Some(Claim::Mismatch));
        }
        match (done, result) {
            (false, None) => Ok(Some(Claim::InProgress(Duration::from_millis(
                left.unsigned_abs(),
            )))),
            (true, Some(result)) => Ok(Some(Claim::Completed(result.into()))),
            _ => Err(Error::new(Kind::Corrupt, BACKEND, "claim")
                .with_detail(format!("the row of {key} is neither claimed nor done"))),
        }
    }
}

impl Store for Postgres {
    async fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Claim, Error> {
        let token = Token::generate(key.clone());
        // The row may expire or be swept between the two statements.
        for _ in 0..LOOKS {
            let claimed = sqlx::query(queries::CLAIM)
                .bind(key.scope())
                .bind(key.id())
                .bind(fingerprint.map(Fingerprint::as_str))
                .bind(token.nonce)
                .bind(millis(lease))
                .execute(&self.pool)
                .await
                .map_err(postgres::error("claim"))?;
            if claimed.rows_affected() == 1 {
                return Ok(Claim::Acquired(token));
            }
            if let Some(claim) = self.find(key, fingerprint).await? {
                return Ok(claim);
            }
        }
        Err(Error::new(Kind::Contention, BACKEND, "claim")
            .with_detail(format!("{key} changes hands too fast")))
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
    done: Result<PgQueryResult, sqlx::Error>,
    token: &Token,
    operation: &'static str,
) -> Result<(), Error> {
    match done.map_err(postgres::error(operation))?.rows_affected() {
        0 => Err(token.fenced(BACKEND, operation)),
        _ => Ok(()),
    }
}

/// The database adds its clock to the time, so half the range is the longest it takes.
fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis())
        .unwrap_or(i64::MAX)
        .min(i64::MAX / 2)
}
