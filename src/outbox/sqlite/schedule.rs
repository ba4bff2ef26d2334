use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Transaction;

use super::{Sqlite, bound, queries};
use crate::driver::sqlite::{BACKEND, BEGIN, error};
use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::message::{Message, MessageId};
use crate::outbox::row::{due_in, epoch, rows};
use crate::outbox::{Lease, Prepared};

impl Sqlite {
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
        tx: &mut Transaction<'_, sqlx::Sqlite>,
        message: &Message,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        let prepared = self.prepare_at(message, at)?;
        let written = bound(&prepared).execute(&mut **tx).await;
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
        tx: &mut Transaction<'_, sqlx::Sqlite>,
        id: &MessageId,
    ) -> Result<bool, Error> {
        let taken = sqlx::query(queries::UNSCHEDULE).bind(id.as_str());
        let taken = taken.execute(&mut **tx).await;
        let taken = taken.map_err(error("unschedule"))?;
        Ok(taken.rows_affected() > 0)
    }

    pub(super) async fn move_due(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
    ) -> Result<Option<Duration>, Error> {
        let error = error("promote");
        let mut tx = self.pool.begin_with(BEGIN).await.map_err(&error)?;
        let now: Option<i64> = sqlx::query_scalar(queries::NOW)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        let now = now.ok_or_else(|| lease.fenced(BACKEND, "promote"))?;
        for step in [queries::PROMOTE, queries::PROMOTED] {
            let step = sqlx::query(step).bind(now).bind(rows(limit));
            step.execute(&mut *tx).await.map_err(&error)?;
        }
        let next: Option<f64> = sqlx::query_scalar(queries::NEXT_DUE)
            .fetch_one(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(next.map(due_in))
    }
}
