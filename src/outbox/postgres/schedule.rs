use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Transaction;

use super::{Postgres, bound, queries};
use crate::driver::postgres::{BACKEND, error};
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::{Message, MessageId};
use crate::outbox::row::{due_in, epoch, rows};
use crate::outbox::{Lease, Prepared};

impl Postgres {
    /// As [`prepare`](Self::prepare), for a message that is due at `at`.
    ///
    /// # Errors
    ///
    /// As [`enqueue_at`](Self::enqueue_at), but for those of the database.
    pub fn prepare_at<'a>(
        &self,
        message: &'a Message,
        at: DateTime<Utc>,
    ) -> Result<Prepared<'a>, Error> {
        self.prepare(message)?.with_due(at)
    }

    /// Writes `message` as a part of `tx`, to be published at `at`, by the database's clock: never
    /// earlier, and after what is due earlier.
    ///
    /// It takes its place in the order of its key when it is due, and holds up nobody until then.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue), and [`Kind::Invalid`] when the year of `at` has not four digits.
    ///
    /// # Cancel safety
    ///
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_at(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let prepared = self.prepare_at(message, at)?;
        let written = bound(&prepared)
            .persistent(self.named)
            .execute(&mut **tx)
            .await;
        written.map_err(error("enqueue")).map(drop)
    }

    /// Takes the scheduled message `id` back, as a part of `tx`; `false` when it is none, or was due
    /// already.
    ///
    /// # Errors
    ///
    /// Those of the database; the transaction should be rolled back then.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the transaction may have taken it back: roll it back.
    pub async fn unschedule(
        &self,
        tx: &mut Transaction<'_, sqlx::Postgres>,
        id: &MessageId,
    ) -> Result<bool, Error> {
        let taken = sqlx::query(queries::UNSCHEDULE).bind(id.as_str());
        let taken = taken.persistent(self.named).execute(&mut **tx).await;
        let taken = taken.map_err(error("unschedule"))?;
        Ok(taken.rows_affected() > 0)
    }

    pub(super) async fn move_due(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
    ) -> Result<Option<Duration>, Error> {
        let (ours, next): (bool, Option<f64>) = sqlx::query_as(queries::PROMOTE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(rows(limit))
            .bind(self.relays())
            .fetch_one(&self.pool)
            .await
            .map_err(error("promote"))?;
        if ours {
            Ok(next.map(due_in))
        } else {
            Err(lease.fenced(BACKEND, "promote"))
        }
    }
}
