//! The outbox in PostgreSQL.

mod change;
mod lane;
mod operations;
mod origin;
mod place;
mod queries;
mod queue;
mod schedule;
mod settle;
mod status;
mod store;
mod tidy;
mod wake;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgPool, Transaction};

use super::prepared::NewRow;
use super::{Bind, Prepared, Routing};
use crate::driver::Schema;
use crate::driver::postgres::{self, BACKEND, error, migrate, migration_sql};
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::Message;
pub use queue::PostgresQueue;
use wake::Wake;

type Tx = Transaction<'static, sqlx::Postgres>;

const SCHEMA: Schema = Schema {
    module: "outbox",
    migrations: &[include_str!("../migrations/postgres/0001_outbox.sql")],
};

/// An outbox in a PostgreSQL database. Clones share the pool.
///
/// It may have several lanes, each of which is relayed by itself: see [`lane`](Self::lane).
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    routing: Routing,
    notify: bool,
    /// Whether statements of `enqueue` stay prepared on their connection.
    named: bool,
    wake: Arc<Wake>,
    /// How long what is settled is kept, if it is.
    retention: Option<Duration>,
    /// Which lane it is, if it is one; the outbox as a whole relays the first.
    lane: Option<i32>,
    /// The epoch of the lease that was verified last.
    verified: Arc<AtomicU64>,
}

impl Postgres {
    /// The outbox in the database behind `pool`; [`migrate`](Self::migrate) makes its tables.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            wake: Arc::new(Wake::new(&pool)),
            pool,
            routing: Routing::default(),
            notify: true,
            named: true,
            retention: None,
            lane: None,
            verified: Arc::default(),
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

    /// Never wakes the relay by `NOTIFY`: it then finds new rows when it polls, or by
    /// [`wake`](Self::wake).
    ///
    /// Without this the statement that enqueues notifies while the relay sleeps, and only then:
    /// transactions that notify take a lock one after the other when they commit.
    #[must_use]
    pub fn without_notify(mut self) -> Self {
        self.notify = false;
        self
    }

    fn without_named_statements(mut self) -> Self {
        self.named = false;
        self
    }

    /// Keeps what is published for at least so long, to be looked at; without it, the room is given back
    /// at once.
    ///
    /// The log is emptied by whole parts of 262,144 rows, of which there are four: a part goes when its
    /// newest row is so old, by the database's clock. The log does not wait for room, but goes on in a
    /// part that is still kept. So while three parts are filled within this time, nothing is given back,
    /// and the table and its indexes grow; choose a shorter one then.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Some(retention);
        self
    }

    /// Wakes a relay of this outbox, or of a clone, in this process: for a caller that has just
    /// committed. It is a hint, and costs no more than that: with
    /// [`without_notify`](Self::without_notify) it takes the place of `NOTIFY` where both are in one
    /// process.
    pub fn wake(&self) {
        self.wake.hint();
    }

    /// Makes the tables, or brings them to this version. Safe to call from several processes.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the tables are of a newer version, or the sequence of the ids does not
    /// count up one by one for all sessions together; else those of the database, e.g.
    /// [`Kind::Unauthorized`] when the tables may not be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate(&self.pool, &SCHEMA).await?;
        self.check_schema("migrate").await
    }

    /// What [`migrate`](Self::migrate) runs on an empty database, for a tool that runs migrations: as
    /// one, in one transaction. `migrate` has nothing left to do then.
    #[must_use]
    pub fn migration_sql() -> String {
        migration_sql(&SCHEMA)
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, which `PgPool::begin` of sqlx 0.9.0 is not: given up at the wrong moment, as
    /// by the time limit of a request, it leaves a connection in the pool whose next statements are
    /// never committed.
    pub async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, Error> {
        postgres::begin(&self.pool).await.map_err(error("begin"))
    }

    /// The statement that writes `message`, for a transaction of another driver.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] when no topic is set for it, or it fails [`Message::check`].
    pub fn prepare<'a>(&self, message: &'a Message) -> Result<Prepared<'a>, Error> {
        let prepared = Prepared::postgres(&self.routing, message)?;
        Ok(if self.notify {
            prepared
        } else {
            prepared.without_notify()
        })
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
        tx: &mut Transaction<'_, sqlx::Postgres>,
        message: &Message,
    ) -> Result<(), Error> {
        let prepared = self.prepare(message)?;
        let written = bound(&prepared)
            .persistent(self.named)
            .execute(&mut **tx)
            .await;
        written.map_err(error("enqueue")).map(drop)
    }

    /// Writes all of `messages`, in order, with one statement; see [`enqueue`](Self::enqueue).
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue), for the first message that fails.
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_many(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        messages: &[Message],
    ) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut columns = Columns::default();
        for message in messages {
            columns.push(NewRow::new(BACKEND, &self.routing, message)?);
        }
        let Columns {
            event_id,
            aggregate_type,
            aggregate_id,
            kind,
            topic,
            key,
            headers,
            payload,
        } = &columns;
        let sql = if self.notify {
            queries::ENQUEUE
        } else {
            queries::ENQUEUE_QUIETLY
        };
        let written = sqlx::query(sql)
            .persistent(self.named)
            .bind(event_id)
            .bind(aggregate_type)
            .bind(aggregate_id)
            .bind(kind)
            .bind(topic.iter().map(|topic| &**topic).collect::<Vec<_>>())
            .bind(key)
            .bind(headers.iter().map(|headers| &**headers).collect::<Vec<_>>())
            .bind(payload.iter().map(Option::as_deref).collect::<Vec<_>>())
            .execute(&mut **tx)
            .await;
        written.map_err(error("enqueue")).map(drop)
    }
}

/// The statement with its values.
fn bound<'a>(prepared: &'a Prepared<'_>) -> Query<'a, sqlx::Postgres, PgArguments> {
    let bind = |query: Query<'a, sqlx::Postgres, PgArguments>, bind| match bind {
        Bind::Text(text) => query.bind(text),
        Bind::Bytes(bytes) => query.bind(bytes),
    };
    let binds = prepared.binds().into_iter();
    binds.fold(sqlx::query(prepared.sql()), bind)
}

/// New rows, by column.
#[derive(Debug, Default)]
struct Columns<'a> {
    event_id: Vec<&'a str>,
    aggregate_type: Vec<&'a str>,
    aggregate_id: Vec<Option<&'a str>>,
    kind: Vec<&'a str>,
    topic: Vec<Arc<str>>,
    key: Vec<Option<&'a [u8]>>,
    headers: Vec<Bytes>,
    payload: Vec<Option<Bytes>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: NewRow<'a>) {
        self.event_id.push(row.event_id);
        self.aggregate_type.push(row.aggregate_type);
        self.aggregate_id.push(row.aggregate_id);
        self.kind.push(row.kind);
        self.topic.push(row.topic);
        self.key.push(row.key);
        self.headers.push(row.headers);
        self.payload.push(row.payload);
    }
}
