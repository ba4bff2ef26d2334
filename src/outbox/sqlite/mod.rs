//! The outbox in SQLite.

mod operations;
mod queries;
mod schedule;
mod wake;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, SqlitePool, Transaction};

use super::row::{self, LeaseRow, StoredRow, due_in, epoch, held, rows};
use super::{Bind, Entry, EntryId, Halted, Lease, Parked, Position, Prepared, Progress, Routing};
use super::{Settled, Status, Store, Window};
use crate::driver::Schema;
use crate::driver::sqlite::{BACKEND, BEGIN, error, migrate, migration_sql};
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

    /// Wakes a relay of this outbox, or of a clone, in this process: for a caller that has just
    /// committed. It is a hint: the relay looks for commits by itself every 10 ms.
    pub fn wake(&self) {
        self.wake.hint();
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

    /// What [`migrate`](Self::migrate) runs on an empty database, for a tool that runs migrations: as
    /// one, in one transaction. `migrate` has nothing left to do then.
    #[must_use]
    pub fn migration_sql() -> String {
        migration_sql(&SCHEMA)
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

    /// The statement that writes `message`, for a transaction of another driver.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`].
    pub fn prepare<'a>(&self, message: &'a Message) -> Result<Prepared<'a>, Error> {
        Prepared::sqlite(&self.routing, message)
    }

    /// Writes `message` into the outbox as a part of `tx`.
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
    ) -> Result<(), Error> {
        let prepared = self.prepare(message)?;
        let written = bound(&prepared).execute(&mut **tx).await;
        written.map_err(error("enqueue")).map(drop)
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
    ) -> Result<(), Error> {
        for message in messages {
            self.enqueue(tx, message).await?;
        }
        Ok(())
    }

    /// Where the log is settled, whether rows wait aside, and in how many seconds the next scheduled
    /// message is due.
    async fn cursor(&self, lease: &Lease) -> Result<(i64, bool, Option<f64>), Error> {
        let cursor: Option<(i64, bool, Option<f64>)> = sqlx::query_as(queries::CURSOR)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        cursor.ok_or_else(|| lease.fenced(BACKEND, "read"))
    }

    /// A row that was set aside.
    fn aside_entry(&self, row: &SqliteRow) -> Result<Entry, Error> {
        let alone = row.try_get("alone").map_err(error("read"))?;
        Ok(self.entry(row)?.with_alone(alone))
    }

    /// By place, not by name: it is done for each row.
    fn entry(&self, row: &SqliteRow) -> Result<Entry, Error> {
        let error = error("read");
        let headers: Option<Vec<u8>> = row.try_get(3).map_err(&error)?;
        let columns = match headers {
            Some(_) => None,
            None => text(row, 7)?,
        };
        let row = StoredRow {
            id: row.try_get(0).map_err(&error)?,
            topic: text(row, 1)?,
            key: row.try_get(2).map_err(&error)?,
            headers,
            payload: row.try_get(4).map_err(&error)?,
            created_at: time(row.try_get(5).map_err(&error)?),
            behind: row.try_get(6).map_err(&error)?,
            columns,
        };
        Ok(row.into_entry(BACKEND, &self.routing))
    }

    async fn change_parked(&self, sql: &'static str, id: EntryId) -> Result<(), Error> {
        let error = error("change parked row");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        if !change_aside(&mut tx, sqlx::query_as(sql).bind(id.value())).await? {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        }
        let acquit = sqlx::query(queries::ACQUIT).bind(id.value());
        acquit.execute(&mut *tx).await.map_err(&error)?;
        tx.commit().await.map_err(&error)
    }
}

impl Store for Sqlite {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let given: Option<LeaseRow<i64>> = sqlx::query_as(queries::LEASE)
            .bind(owner)
            .bind(ttl.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("lease"))?;
        Ok(given.map(|given| row::lease(owner, given)))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let done = sqlx::query(queries::RELEASE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .execute(&self.pool)
            .await
            .map_err(error("release"))?;
        held(done.rows_affected(), lease, BACKEND, "release")
    }

    async fn progress(&self, lease: &Lease) -> Result<Progress, Error> {
        let progress: Option<(String, i64, i64)> = sqlx::query_as(queries::PROGRESS)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        let (outbox, settled, epoch) = progress.ok_or_else(|| lease.fenced(BACKEND, "read"))?;
        let position = Position::at(settled);
        Ok(Progress::new(outbox, position, epoch.unsigned_abs()))
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let (settled, aside, due) = self.cursor(lease).await?;
        let from = match from {
            Some(position) => position.number(BACKEND)?,
            None => settled,
        };
        let rows = sqlx::query(queries::READ)
            .bind(from)
            .bind(rows(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(error("read"))?;
        let entries = rows.iter().map(|row| self.entry(row));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let next = entries.last().map_or(from, |entry| entry.id.value());
        let window = Window::new(entries, Some(Position::at(next))).with_aside(aside);
        Ok(window.with_due(due.map(due_in)))
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let (_, aside, _) = self.cursor(lease).await?;
        let held = serde_json::to_string(held)
            .map_err(|source| Error::new(Kind::Invalid, BACKEND, "read").with_source(source))?;
        let rows = sqlx::query(queries::SET_ASIDE)
            .bind(held)
            .bind(rows(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(error("read"))?;
        let entries = rows.iter().map(|row| self.aside_entry(row));
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Window::new(entries, None).with_aside(aside))
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.move_due(lease, limit).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        window.check(settled, BACKEND)?;
        let error = error("settle");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        let position = match &window.next {
            Some(next) => next.number(BACKEND)?,
            None => 0,
        };
        let moved = sqlx::query(queries::ADVANCE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(position)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        if moved.rows_affected() == 0 {
            return Err(lease.fenced(BACKEND, "settle"));
        }
        for (entry, settled) in window.entries.iter().zip(settled) {
            match window.next {
                Some(_) => leave(&mut tx, entry, settled).await?,
                None => change(&mut tx, entry.id, settled).await?,
            }
        }
        if window.next.is_some() {
            let trimmed = sqlx::query(queries::TRIM).bind(position);
            trimmed.execute(&mut *tx).await.map_err(&error)?;
        }
        if let Some(reason) = Settled::halt(settled) {
            operations::halt(&mut *tx, reason).await?;
        }
        tx.commit().await.map_err(&error)
    }

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        self.note_trying(lease, row).await
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        operations::halt(&self.pool, reason).await
    }

    async fn resume(&self) -> Result<(), Error> {
        let resumed = sqlx::query(queries::RESUME).execute(&self.pool).await;
        resumed.map(drop).map_err(error("resume"))
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        self.read_halted().await
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
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        Ok(Status {
            pending: count("pending").map_err(&error)?,
            oldest: row
                .try_get::<Option<i64>, _>("oldest")
                .map_err(&error)?
                .and_then(DateTime::from_timestamp_millis),
            aside: count("aside").map_err(&error)?,
            parked: count("parked").map_err(&error)?,
            parked_keys: count("parked_keys").map_err(&error)?,
            scheduled: count("scheduled").map_err(&error)?,
            halted: operations::halted_of(&row).map_err(&error)?,
            owner: owner.map(Into::into),
            epoch: count("epoch").map_err(&error)?,
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
                let entry = self.aside_entry(row)?;
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

/// The statement with its values.
fn bound<'a>(prepared: &'a Prepared<'_>) -> Query<'a, sqlx::Sqlite, SqliteArguments> {
    let bind = |query: Query<'a, sqlx::Sqlite, SqliteArguments>, bind| match bind {
        Bind::Text(text) => query.bind(text),
        Bind::Bytes(bytes) => query.bind(bytes),
    };
    let binds = prepared.binds().into_iter();
    binds.fold(sqlx::query(prepared.sql()), bind)
}

type Tx = Transaction<'static, sqlx::Sqlite>;
type Changed<'q> = sqlx::query::QueryAs<'q, sqlx::Sqlite, (i64, Option<Vec<u8>>), SqliteArguments>;

/// What becomes of a row of the log, which is trimmed afterwards.
async fn leave(tx: &mut Tx, entry: &Entry, settled: &Settled) -> Result<(), Error> {
    if *settled == Settled::Published {
        return Ok(());
    }
    let put = sqlx::query(queries::PUT_ASIDE)
        .bind(entry.id.value())
        .bind(settled.reason())
        .bind(settled.is_alone())
        .bind(&*entry.record.topic);
    put.execute(&mut **tx)
        .await
        .map_err(error("settle"))
        .map(drop)
}

/// What becomes of a row that waited aside.
async fn change(tx: &mut Tx, id: EntryId, settled: &Settled) -> Result<(), Error> {
    match settled {
        Settled::Published => {
            let published = sqlx::query(queries::PUBLISHED_ASIDE).bind(id.value());
            let published = published.execute(&mut **tx).await;
            published.map_err(error("settle")).map(drop)
        }
        Settled::Aside => Ok(()),
        Settled::Parked(_) | Settled::ParkedAlone(_) | Settled::Halted(_) => {
            let park = sqlx::query_as(queries::PARK).bind(id.value());
            let park = park.bind(settled.reason()).bind(settled.is_alone());
            change_aside(tx, park).await.map(drop)
        }
    }
}

/// Changes a row that is aside, and says of its key's which of them wait then; whether there was one.
async fn change_aside(tx: &mut Tx, changed: Changed<'_>) -> Result<bool, Error> {
    let changed = changed.fetch_optional(&mut **tx).await;
    let Some((id, key)) = changed.map_err(error("change aside"))? else {
        return Ok(false);
    };
    let reckoned = sqlx::query(queries::RECKON).bind(id).bind(key);
    let reckoned = reckoned.execute(&mut **tx).await;
    reckoned.map_err(error("change aside")).map(|_| true)
}

/// A text that need not be one: SQLite takes any bytes, and the relay goes on whatever somebody wrote.
fn text(row: &SqliteRow, column: usize) -> Result<Option<String>, Error> {
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(column).map_err(error("read"))?;
    let text = |bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    Ok(bytes.map(text))
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}
