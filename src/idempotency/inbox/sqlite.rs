use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::{SqliteConnection, SqlitePool};
use tower::Service;

use super::{Claimed, Seen, before};
use crate::broker::Delivery;
use crate::driver::Schema;
use crate::driver::sqlite::{self, BACKEND, BEGIN};
use crate::error::{BoxError, Error, Kind};
use crate::idempotency::{Fingerprint, Key};

const SCHEMA: Schema = Schema {
    module: "inbox",
    migrations: &["CREATE TABLE bowline_inbox (
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    fingerprint TEXT,
    result BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX bowline_inbox_age ON bowline_inbox (created_at)"],
};

const CLAIM: &str = "INSERT INTO bowline_inbox (scope, id, fingerprint, created_at)
VALUES ($1, $2, $3, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ON CONFLICT DO NOTHING";

const BEFORE: &str = "SELECT fingerprint, result FROM bowline_inbox WHERE scope = $1 AND id = $2";

const FINISH: &str = "UPDATE bowline_inbox SET result = $3 WHERE scope = $1 AND id = $2";

const SWEEP: &str = "DELETE FROM bowline_inbox
WHERE created_at <= CAST(unixepoch('subsec') * 1000 AS INTEGER) - $1";

/// An inbox in an SQLite database. A clone shares the pool.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// An inbox in the database of `pool`; call [`migrate`](Self::migrate) once before use.
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

    /// Notes `key` in the caller's transaction, and says whether it was there.
    ///
    /// # Errors
    ///
    /// Those of the database, e.g. [`Kind::Contention`] when another transaction was in the way for
    /// too long; roll the transaction back.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may hold the note: roll it back.
    pub async fn claim(&self, tx: &mut SqliteConnection, key: &Key) -> Result<Seen, Error> {
        insert(tx, key, None).await
    }

    /// Notes `key` in the caller's transaction, for what `fingerprint` stands for. Keep the result
    /// with [`finish`](Self::finish) in the same transaction.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    ///
    /// # Cancel safety
    ///
    /// As [`claim`](Self::claim).
    pub async fn claim_with(
        &self,
        tx: &mut SqliteConnection,
        key: &Key,
        fingerprint: &Fingerprint,
    ) -> Result<Claimed, Error> {
        if insert(tx, key, Some(fingerprint.as_str())).await? == Seen::First {
            return Ok(Claimed::First);
        }
        let row: (Option<String>, Option<Vec<u8>>) = sqlx::query_as(BEFORE)
            .bind(key.scope())
            .bind(key.id())
            .fetch_one(tx)
            .await
            .map_err(sqlite::error("claim"))?;
        Ok(before(fingerprint.as_str(), row.0.as_deref(), row.1))
    }

    /// Keeps the result of what was claimed in the same transaction.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] when `key` was not claimed, and those of the database; roll the
    /// transaction back.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may hold the result: roll it back.
    pub async fn finish(
        &self,
        tx: &mut SqliteConnection,
        key: &Key,
        result: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let done = sqlx::query(FINISH)
            .bind(key.scope())
            .bind(key.id())
            .bind(result.as_ref())
            .execute(tx)
            .await
            .map_err(sqlite::error("finish"))?;
        match done.rows_affected() {
            0 => Err(Error::new(Kind::NotFound, BACKEND, "finish")
                .with_detail(format!("{key} was not claimed"))),
            _ => Ok(()),
        }
    }

    /// Forgets keys older than `keep`, which must outlast every redelivery; returns how many.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is forgotten that is older, or nothing.
    pub async fn sweep(&self, keep: Duration) -> Result<u64, Error> {
        sqlx::query(SWEEP)
            .bind(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
            .execute(&self.pool)
            .await
            .map(|done| done.rows_affected())
            .map_err(sqlite::error("sweep"))
    }

    /// A service that runs `handler` in a transaction together with the note of its message.
    ///
    /// The handler must do its effects through the connection it is given, and must not end the
    /// transaction.
    #[must_use]
    pub fn handler<H>(self, handler: H) -> SqliteHandler<H>
    where
        H: for<'a> Fn(&'a mut SqliteConnection, Delivery) -> Handled<'a>,
    {
        SqliteHandler {
            inbox: self,
            handler: Arc::new(handler),
        }
    }
}

async fn insert(
    tx: &mut SqliteConnection,
    key: &Key,
    fingerprint: Option<&str>,
) -> Result<Seen, Error> {
    let done = sqlx::query(CLAIM)
        .bind(key.scope())
        .bind(key.id())
        .bind(fingerprint)
        .execute(tx)
        .await
        .map_err(sqlite::error("claim"))?;
    Ok(match done.rows_affected() {
        0 => Seen::Duplicate,
        _ => Seen::First,
    })
}

type Handled<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

/// The service of [`Sqlite::handler`].
pub struct SqliteHandler<H> {
    inbox: Sqlite,
    handler: Arc<H>,
}

impl<H> Service<Delivery> for SqliteHandler<H>
where
    H: for<'a> Fn(&'a mut SqliteConnection, Delivery) -> Handled<'a> + Send + Sync + 'static,
{
    type Response = ();
    type Error = BoxError;
    type Future = Handled<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> Handled<'static> {
        let Self { inbox, handler } = self.clone();
        Box::pin(async move {
            let key = Key::of(&delivery)?;
            let error = sqlite::error("handle");
            let mut tx = inbox.pool.begin_with(BEGIN).await.map_err(&error)?;
            if inbox.claim(&mut tx, &key).await? == Seen::First {
                handler(&mut tx, delivery).await?;
                tx.commit().await.map_err(&error)?;
            }
            Ok(())
        })
    }
}

impl<H> Clone for SqliteHandler<H> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            handler: Arc::clone(&self.handler),
        }
    }
}

impl<H> fmt::Debug for SqliteHandler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteHandler").finish_non_exhaustive()
    }
}
