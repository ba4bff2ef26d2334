//! The outbox in PostgreSQL as a queue.

mod aside;
mod hand;
mod queries;
mod store;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::Transaction;

use super::Postgres;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::{Message, MessageId};
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
/// Rows of one key are published in any order, and a parked row keeps nobody waiting: `parked_keys` of its
/// status is 0. Messages that are due later are moved by whichever relay comes first.
///
/// Lanes and retention are those of a log: the queue of a lane is the queue of all rows, and what is published
/// is gone.
///
/// A crash counts for nothing: rows that come back at once are any relay's, and to note who had which of them in
/// hand would be a write for every window. So a row over which each process ends that publishes it is not
/// found, as the log finds it: the processes go on ending, and the rows of its window come again and again. A
/// publisher that panics is another matter: the relay lives on, and the row is parked.
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
    /// The same outbox, with its topics, as a queue of all its rows, whatever [`lane`](Self::lane) this is;
    /// without [retention](Self::with_retention), as what is published is gone.
    #[must_use]
    pub fn queue(mut self) -> PostgresQueue {
        (self.lane, self.retention) = (None, None);
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

    /// As [`Postgres::enqueue_at`].
    ///
    /// # Errors
    ///
    /// As [`Postgres::enqueue_at`].
    ///
    /// # Cancel safety
    ///
    /// As [`Postgres::enqueue`].
    pub async fn enqueue_at(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.outbox.enqueue_at(tx, message, at).await
    }

    /// As [`Postgres::unschedule`].
    ///
    /// # Errors
    ///
    /// As [`Postgres::unschedule`].
    ///
    /// # Cancel safety
    ///
    /// As [`Postgres::unschedule`].
    pub async fn unschedule(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        id: &MessageId,
    ) -> Result<bool, Error> {
        self.outbox.unschedule(tx, id).await
    }
}
