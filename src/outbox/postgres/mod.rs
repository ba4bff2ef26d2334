//! The outbox in PostgreSQL.

mod place;
mod queries;
mod queue;
mod store;
mod tidy;
mod wake;

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{PgPool, Transaction};

use super::Routing;
use super::row::NewRow;
use crate::driver::Schema;
use crate::driver::postgres::{self, BACKEND, error, migrate};
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::Message;
pub use queue::PostgresQueue;
use wake::Wake;

const SCHEMA: Schema = Schema {
    module: "outbox",
    migrations: &[include_str!("../migrations/postgres/0001_outbox.sql")],
};

/// An outbox in a PostgreSQL database. Clones share the pool.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    routing: Routing,
    notify: bool,
    /// Whether statements of `enqueue` stay prepared on their connection.
    named: bool,
    wake: Arc<Wake>,
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

    /// Does not wake the relay by `NOTIFY`: it then finds new rows when it polls.
    ///
    /// A `NOTIFY` costs a round trip per enqueue, and a lock that transactions take one after the
    /// other when they commit.
    #[must_use]
    pub fn without_notify(mut self) -> Self {
        self.notify = false;
        self
    }

    fn without_named_statements(mut self) -> Self {
        self.named = false;
        self
    }

    /// Makes the tables, or brings them to this version. Safe to call from several processes.
    ///
    /// # Errors
    ///
    /// [`Kind::Schema`] when the tables are of a newer version, else those of the database,
    /// e.g. [`Kind::Unauthorized`] when the tables may not be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        migrate(&self.pool, &SCHEMA).await
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
        self.enqueue_many(tx, std::slice::from_ref(message)).await
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
        let written = sqlx::query(queries::ENQUEUE)
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
        written.map_err(error("enqueue"))?;
        self.notify(tx).await
    }

    async fn notify(&self, tx: &mut Transaction<'_, sqlx::Postgres>) -> Result<(), Error> {
        if !self.notify {
            return Ok(());
        }
        let sent = sqlx::query(queries::NOTIFY).execute(&mut **tx).await;
        sent.map(drop).map_err(error("enqueue"))
    }
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
