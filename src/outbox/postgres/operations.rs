//! What an operator asks for, and what is noted of relays that crash.

use sqlx::{Row as _, postgres::PgRow};

use super::queries::change::LOCK_CURSORS;
use super::{Postgres, Tx, queries};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::row::{self, epoch, held};
use crate::outbox::{EntryId, Halted, Lease};

impl Postgres {
    pub(super) async fn note_trying(
        &self,
        lease: &Lease,
        row: Option<EntryId>,
    ) -> Result<(), Error> {
        let noted = sqlx::query(queries::TRYING)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .bind(row.map(EntryId::value))
            .execute(&self.pool)
            .await
            .map_err(error("try"))?;
        held(noted.rows_affected(), lease, BACKEND, "try")
    }

    pub(super) async fn read_halted(&self) -> Result<Option<Halted>, Error> {
        let error = error("halted");
        let row = sqlx::query(queries::HALTED).fetch_one(&self.pool).await;
        halted_of(&row.map_err(&error)?).map_err(error)
    }

    /// # Errors
    ///
    /// [`Kind::Conflict`] when relays without order work on the table.
    pub(super) async fn is_no_queue(&self, operation: &'static str) -> Result<(), Error> {
        let is_queue = sqlx::query_scalar(queries::IS_QUEUE).fetch_one(&self.pool);
        if is_queue.await.map_err(error(operation))? {
            return Err(Error::new(Kind::Conflict, BACKEND, operation)
                .with_detail("the outbox is relayed as a queue, and cannot be a log"));
        }
        Ok(())
    }

    pub(super) async fn change_parked(&self, sql: &'static str, id: EntryId) -> Result<(), Error> {
        let error = error("change parked row");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        // A relay that sets rows of the key aside meanwhile would count it as parked still, and they would
        // wait for ever. It changes its cursor first; which lane's key it is may be about to change.
        lock_cursors(&mut tx, "change parked row").await?;
        let changed: Option<Option<Vec<u8>>> = sqlx::query_scalar(sql)
            .bind(id.value())
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        let Some(key) = changed else {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        };
        for step in [
            sqlx::query(queries::RECKON_KEY).bind(id.value()).bind(key),
            sqlx::query(queries::ACQUIT).bind(id.value()),
        ] {
            step.execute(&mut *tx).await.map_err(&error)?;
        }
        tx.commit().await.map_err(&error)
    }
}

/// Keeps the cursors of all lanes as they are, in the order in which everybody takes them.
pub(super) async fn lock_cursors(tx: &mut Tx, operation: &'static str) -> Result<(), Error> {
    let locked = sqlx::raw_sql(LOCK_CURSORS).execute(&mut **tx).await;
    locked.map(drop).map_err(error(operation))
}

/// Halts all lanes. Not prepared, as a pooler may stand between.
pub(super) async fn halt(tx: &mut Tx, reason: &str) -> Result<(), Error> {
    lock_cursors(tx, "halt").await?;
    let halted = sqlx::query(queries::HALT).bind(reason).persistent(false);
    let halted = halted.execute(&mut **tx).await;
    halted.map(drop).map_err(error("halt"))
}

/// Lets all lanes go on; as [`halt`].
pub(super) async fn resume(tx: &mut Tx) -> Result<(), Error> {
    lock_cursors(tx, "resume").await?;
    let resumed = sqlx::query(queries::RESUME).persistent(false);
    let resumed = resumed.execute(&mut **tx).await;
    resumed.map(drop).map_err(error("resume"))
}

pub(super) fn halted_of(row: &PgRow) -> Result<Option<Halted>, sqlx::Error> {
    let since = row.try_get("halted_at")?;
    Ok(row::halted(since, row.try_get("halted_reason")?))
}
