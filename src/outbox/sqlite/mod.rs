//! The outbox in SQLite.

mod queries;
mod wake;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool, Transaction};

use super::row::{NewRow, StoredRow, split};
use super::{Entry, EntryId, Lease, Parked, Routing, Settled, Status, Store, Window};
use crate::driver::Schema;
use crate::driver::sqlite::{BACKEND, BEGIN, error, migrate};
use crate::error::{Error, Kind};
use crate::message::Message;
use wake::Wake;

const SCHEMA: Schema = Schema {
    module: "outbox",
    migrations: &[include_str!("../migrations/sqlite/0001_outbox.sql")],
};

/// An outbox in a SQLite database. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Sqlite {
    pool: SqlitePool,
    routing: Routing,
    wake: Arc<Wake>,
}

impl Sqlite {
    /// The outbox in the database behind `pool`; [`migrate`](Self::migrate) makes its tables.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self {
            wake: Arc::new(Wake::new(&pool)),
            pool,
            routing: Routing::default(),
        }
    }

    /// Sends every message to `topic`.
    #[must_use]
    pub fn with_topic(self, topic: impl Into<Arc<str>>) -> Self {
        self.with_routing(Routing::to(topic))
    }

    /// Decides topics by `routing`.
    #[must_use]
    pub fn with_routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// Makes the tables, or brings them to this version. Safe to call from several processes.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the tables are of a newer version, else those of the database,
    /// e.g. [`Kind::ReadOnly`] when the file may not be written.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate(&self.pool, &SCHEMA).await
    }

    /// Begins a transaction that has the write lock from the start, so that no statement in it fails
    /// because another writer was faster.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>, Error> {
        self.pool.begin_with(BEGIN).await.map_err(error("begin"))
    }

    /// Writes `message` into the outbox as a part of `tx`, and returns its place.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`]; nothing is
    /// written then. Otherwise those of the database; the transaction should be rolled back then.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may hold the message: roll it back. Nothing is published unless
    /// it is committed.
    pub async fn enqueue(
        &self,
        tx: &mut Transaction<'_, sqlx::Sqlite>,
        message: &Message,
    ) -> Result<EntryId, Error> {
        let row = NewRow::new(BACKEND, &self.routing, message)?;
        let id = sqlx::query_scalar(queries::ENQUEUE)
            .bind(row.event_id)
            .bind(row.aggregate_type)
            .bind(row.aggregate_id)
            .bind(row.kind)
            .bind(&*row.topic)
            .bind(row.key)
            .bind(&*row.headers)
            .bind(row.payload.as_deref())
            .fetch_one(&mut **tx)
            .await
            .map_err(error("enqueue"))?;
        Ok(EntryId::new(id))
    }

    /// Writes all of `messages`, in order; see [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue), for the first message that fails.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may hold some of the messages: roll it back.
    pub async fn enqueue_many(
        &self,
        tx: &mut Transaction<'_, sqlx::Sqlite>,
        messages: &[Message],
    ) -> Result<Vec<EntryId>, Error> {
        let mut ids = Vec::with_capacity(messages.len());
        for message in messages {
            ids.push(self.enqueue(tx, message).await?);
        }
        Ok(ids)
    }

    /// A transaction in which the lease is known to be ours until it ends.
    async fn fenced(
        &self,
        lease: &Lease,
        operation: &'static str,
    ) -> Result<Transaction<'static, sqlx::Sqlite>, Error> {
        let mut tx = self
            .pool
            .begin_with(BEGIN)
            .await
            .map_err(error(operation))?;
        let ours: Option<i64> = sqlx::query_scalar(queries::FENCE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&mut *tx)
            .await
            .map_err(error(operation))?;
        ours.map(|_| tx)
            .ok_or_else(|| lease.fenced(BACKEND, operation))
    }

    /// Whether there is anything to read: asked first, so that an idle relay keeps no writer waiting.
    async fn is_pending(&self, lease: &Lease) -> Result<bool, Error> {
        let pending: Option<bool> = sqlx::query_scalar(queries::PENDING)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        pending.ok_or_else(|| lease.fenced(BACKEND, "read"))
    }

    async fn change_parked(&self, sql: &'static str, id: EntryId) -> Result<(), Error> {
        let done = sqlx::query(sql)
            .bind(id.value())
            .execute(&self.pool)
            .await
            .map_err(error("change parked row"))?;
        if done.rows_affected() == 0 {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        }
        Ok(())
    }
}

impl Store for Sqlite {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let epoch: Option<i64> = sqlx::query_scalar(queries::LEASE)
            .bind(owner)
            .bind(ttl.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("lease"))?;
        Ok(epoch.map(|epoch| Lease::new(owner, epoch.unsigned_abs())))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let done = sqlx::query(queries::RELEASE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .execute(&self.pool)
            .await
            .map_err(error("release"))?;
        if done.rows_affected() == 0 {
            return Err(lease.fenced(BACKEND, "release"));
        }
        Ok(())
    }

    async fn read(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
        held: &[Arc<str>],
    ) -> Result<Window, Error> {
        if !self.is_pending(lease).await? {
            return Ok(Window::default());
        }
        let mut tx = self.fenced(lease, "read").await?;
        let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
        let held = serde_json::to_string(held)
            .map_err(|source| Error::new(Kind::Invalid, BACKEND, "read").with_source(source))?;
        let rows = sqlx::query(queries::READ)
            .bind(limit)
            .bind(held)
            .fetch_all(&mut *tx)
            .await
            .map_err(error("read"))?;
        let (window, unreadable) = split(rows.iter().map(stored).collect::<Result<_, _>>()?);
        for (id, reason) in &unreadable {
            park(&mut tx, *id, reason).await?;
        }
        tx.commit().await.map_err(error("read"))?;
        Ok(window)
    }

    async fn settle(
        &self,
        lease: &Lease,
        _window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let mut tx = self.fenced(lease, "settle").await?;
        for settled in settled {
            match settled {
                Settled::Published(id) => {
                    sqlx::query(queries::PUBLISHED)
                        .bind(id.value())
                        .execute(&mut *tx)
                        .await
                        .map_err(error("settle"))?;
                }
                Settled::Parked(id, reason) => park(&mut tx, *id, reason).await?,
            }
        }
        tx.commit().await.map_err(error("settle"))
    }

    async fn committed(&self) {
        self.wake.committed().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        let error = error("status");
        let row = sqlx::query(queries::STATUS)
            .fetch_one(&self.pool)
            .await
            .map_err(&error)?;
        let owner: Option<String> = row.try_get("owner").map_err(&error)?;
        Ok(Status {
            pending: row
                .try_get::<i64, _>("pending")
                .map_err(&error)?
                .unsigned_abs(),
            oldest: row
                .try_get::<Option<i64>, _>("oldest")
                .map_err(&error)?
                .and_then(DateTime::from_timestamp_millis),
            parked: row
                .try_get::<i64, _>("parked")
                .map_err(&error)?
                .unsigned_abs(),
            owner: owner.map(Into::into),
            epoch: row
                .try_get::<i64, _>("epoch")
                .map_err(&error)?
                .unsigned_abs(),
        })
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let error = error("parked");
        let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
        let rows = sqlx::query(queries::PARKED)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(&error)?;
        rows.iter()
            .map(|row| {
                let (entry, _): (Entry, _) = stored(row)?.into_entry();
                let reason: String = row.try_get("parked_reason").map_err(&error)?;
                let at = time(row.try_get("parked_at").map_err(&error)?);
                Ok(Parked::new(entry, reason, at))
            })
            .collect()
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::RETRY, id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::DISCARD, id).await
    }
}

async fn park(
    tx: &mut Transaction<'static, sqlx::Sqlite>,
    id: EntryId,
    reason: &str,
) -> Result<(), Error> {
    let query = sqlx::query(queries::PARK).bind(id.value()).bind(reason);
    query
        .execute(&mut **tx)
        .await
        .map_err(error("park"))
        .map(drop)
}

fn stored(row: &SqliteRow) -> Result<StoredRow, Error> {
    let error = error("read");
    Ok(StoredRow {
        id: row.try_get("id").map_err(&error)?,
        topic: row.try_get("topic").map_err(&error)?,
        key: row.try_get("key").map_err(&error)?,
        headers: row.try_get("headers").map_err(&error)?,
        payload: row.try_get("payload").map_err(&error)?,
        created_at: time(row.try_get("created_at").map_err(&error)?),
        attempts: row.try_get("attempts").map_err(&error)?,
    })
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

fn epoch(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
