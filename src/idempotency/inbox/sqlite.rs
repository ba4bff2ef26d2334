use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::{SqliteConnection, SqlitePool};
use tower::Service;

use super::Seen;
use crate::broker::Delivery;
use crate::driver::Schema;
use crate::driver::sqlite::{self, BEGIN};
use crate::error::{BoxError, Error};
use crate::idempotency::Key;

const SCHEMA: Schema = Schema {
    module: "inbox",
    migrations: &["CREATE TABLE bowline_inbox (
    scope TEXT NOT NULL,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX bowline_inbox_age ON bowline_inbox (created_at)"],
};

const CLAIM: &str = "INSERT INTO bowline_inbox (scope, id, created_at)
VALUES ($1, $2, CAST(unixepoch('subsec') * 1000 AS INTEGER)) ON CONFLICT DO NOTHING";

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
    /// [`Kind::Schema`](crate::error::Kind::Schema) when the database is newer than this build.
    pub async fn migrate(&self) -> Result<(), Error> {
        sqlite::migrate(&self.pool, &SCHEMA).await
    }

    /// Notes `key` in the caller's transaction, and says whether it was there.
    ///
    /// # Errors
    ///
    /// Those of the database; roll the transaction back.
    pub async fn claim(&self, tx: &mut SqliteConnection, key: &Key) -> Result<Seen, Error> {
        let done = sqlx::query(CLAIM)
            .bind(key.scope())
            .bind(key.id())
            .execute(tx)
            .await
            .map_err(sqlite::error("claim"))?;
        Ok(match done.rows_affected() {
            0 => Seen::Duplicate,
            _ => Seen::First,
        })
    }

    /// Forgets keys older than `keep`, which must outlast every redelivery; returns how many.
    ///
    /// # Errors
    ///
    /// Those of the database.
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
