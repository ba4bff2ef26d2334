//! What an operator asks for, and what is noted of relays that crash.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteExecutor};

use super::{Sqlite, queries, time};
use crate::driver::sqlite::{BACKEND, error};
use crate::error::Error;
use crate::outbox::row::{self, epoch, held};
use crate::outbox::{EntryId, Halted, Lease};

impl Sqlite {
    pub(super) async fn note_trying(
        &self,
        lease: &Lease,
        row: Option<EntryId>,
    ) -> Result<(), Error> {
        let noted = sqlx::query(queries::TRYING)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
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
}

pub(super) async fn halt(on: impl SqliteExecutor<'_>, reason: &str) -> Result<(), Error> {
    let halted = sqlx::query(queries::HALT).bind(reason).execute(on).await;
    halted.map(drop).map_err(error("halt"))
}

pub(super) fn halted_of(row: &SqliteRow) -> Result<Option<Halted>, sqlx::Error> {
    let since: Option<i64> = row.try_get("halted_at")?;
    Ok(row::halted(since.map(time), row.try_get("halted_reason")?))
}
