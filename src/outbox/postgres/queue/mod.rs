//! The outbox in PostgreSQL as a queue.

mod hand;
mod queries;
mod store;

use std::sync::Arc;

use sqlx::Transaction;

use super::Postgres;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::Message;
#[cfg(doc)]
use crate::outbox::relay::Config;
use hand::Leases;

/// An outbox in a PostgreSQL database whose relays work side by side, and keep no order. Clones share the
/// pool.
///
/// A relay deletes the rows of its window in a transaction that stays open while they are published; settling
/// commits it. Others step over them meanwhile. A relay that crashes loses its connection, and its rows are
/// back at once; one that stands still for longer than its lease loses it too, as the server ends the
/// transaction. So at most what a relay had in hand is published twice.
///
/// Rows of one key are published in any order, and a parked row keeps nobody waiting.
///
/// # When to use it
///
/// When the order of events means nothing and one relay is not enough, e.g. because the broker answers slowly;
/// and behind a pooler that gives connections out by the transaction: there is no `LISTEN`, no lock of a
/// session and no statement that outlives its transaction. A relay needs one connection. As nothing wakes it,
/// [`Config::poll`] is how long a row may wait.
///
/// # When not to
///
/// When it must keep up while something holds a snapshot open for long, such as a dump or a forgotten
/// transaction: each row leaves a dead tuple, and no vacuum can take it away then. The log of [`Postgres`] is
/// not touched by that, keeps order, and is faster. A broker that is down keeps the transactions of the relays
/// open, which holds up vacuum in the same way.
///
/// A table is relayed by the one or by the other: whichever comes first. The other fails with
/// [`Kind::Conflict`].
#[derive(Debug, Clone)]
pub struct PostgresQueue {
    outbox: Postgres,
    leases: Arc<Leases>,
}

impl Postgres {
    /// The same outbox, with its topics, as a queue.
    #[must_use]
    pub fn queue(self) -> PostgresQueue {
        PostgresQueue {
            outbox: self.without_notify().without_named_statements(),
            leases: Arc::default(),
        }
    }
}

impl PostgresQueue {
    /// As [`Postgres::migrate`]; the tables are the same. Not through a pooler.
    ///
    /// # Errors
    ///
    /// As [`Postgres::migrate`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: all is made in one transaction, or nothing.
    pub async fn migrate(&self) -> Result<(), Error> {
        self.outbox.migrate().await
    }

    /// As [`Postgres::begin`].
    ///
    /// # Errors
    ///
    /// Those of the database.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, Error> {
        self.outbox.begin().await
    }

    /// As [`Postgres::enqueue`].
    ///
    /// # Errors
    ///
    /// As [`Postgres::enqueue`].
    ///
    /// # Cancel safety
    ///
    /// As [`Postgres::enqueue`].
    pub async fn enqueue(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        message: &Message,
    ) -> Result<(), Error> {
        self.outbox.enqueue(tx, message).await
    }

    /// As [`Postgres::enqueue_many`].
    ///
    /// # Errors
    ///
    /// As [`Postgres::enqueue`].
    ///
    /// # Cancel safety
    ///
    /// As [`Postgres::enqueue`].
    pub async fn enqueue_many(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        messages: &[Message],
    ) -> Result<(), Error> {
        self.outbox.enqueue_many(tx, messages).await
    }
}
