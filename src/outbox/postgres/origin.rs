//! What a relay looks at before it begins: the tables, the sequence, and whether they are still where
//! they were written.
//!
//! In the log each row carries the number of its transaction, and the position is made of such numbers.
//! Loaded into another cluster, or out of a dump, they mean other transactions, and rows would be passed
//! over. So the rows that are there become those of one new transaction, and all of them come again.
//!
//! A crash of the server gives the numbers of transactions again that were rolled back and left nothing in its
//! write-ahead log, and a relay may have read beyond them. So whoever takes a lease leaves a mark in a table
//! that a crash empties, and without it reads and settles nothing: it has to take the lease anew, and reads on
//! from what is stored. That is never beyond a number that may come again: it was written by a later one.

use sqlx::{PgConnection, Row};

use super::place::Place;
use super::queries::change::BEGIN_LANES;
use super::queries::{self, origin as statements};
use super::store::snapshot;
use super::{Postgres, SCHEMA, change};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::Lease;
use crate::outbox::row::{epoch, held};

/// Before everything that any transaction has written.
const BEGINNING: &str = "1:1:";

impl Postgres {
    /// Whether a relay can rely on what it finds; makes the log that of this database, if it was that
    /// of another.
    pub(super) async fn verify(&self, lease: &Lease) -> Result<(), Error> {
        self.check_schema("lease").await?;
        let system = self.system().await?;
        let system = system.as_deref();
        let mut connection = self.pool.acquire().await.map_err(error("lease"))?;
        let is_elsewhere = is_elsewhere(&mut connection, system).await?;
        drop(connection);
        if is_elsewhere {
            self.rebase(lease, system).await?;
        } else if let Some(system) = system {
            let set = sqlx::query(statements::SET_SYSTEM).bind(system);
            set.execute(&self.pool).await.map_err(error("lease"))?;
        }
        self.mark(lease).await
    }

    /// Leaves a mark that a crash of the server takes away.
    async fn mark(&self, lease: &Lease) -> Result<(), Error> {
        let marked = sqlx::query(queries::MARK)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .execute(&self.pool)
            .await
            .map_err(error("lease"))?;
        held(marked.rows_affected(), lease, BACKEND, "lease")
    }

    /// Whether tables and sequence are as this build expects them.
    pub(super) async fn check_schema(&self, operation: &'static str) -> Result<(), Error> {
        let error = error(operation);
        let (version, cache, increment, cycles): (Option<i64>, i64, i64, bool) =
            sqlx::query_as(statements::VERSION)
                .bind(SCHEMA.module)
                .fetch_one(&self.pool)
                .await
                .map_err(&error)?;
        SCHEMA.check(BACKEND, operation, version.unwrap_or(0))?;
        if cache == 1 && increment > 0 && !cycles {
            return Ok(());
        }
        // The ids would not be in the order in which rows were written.
        let detail = format!(
            "sequence bowline_outbox_id has CACHE {cache}, INCREMENT {increment}, {}; \
            allowed: CACHE 1, INCREMENT from 1, NO CYCLE",
            if cycles { "CYCLE" } else { "NO CYCLE" }
        );
        Err(Error::new(Kind::Schema, BACKEND, operation).with_detail(detail))
    }

    /// The identifier of the cluster, if we may ask for it.
    async fn system(&self) -> Result<Option<String>, Error> {
        let error = error("lease");
        let may_ask = sqlx::query_scalar(statements::MAY_ASK_SYSTEM).fetch_one(&self.pool);
        if !may_ask.await.map_err(&error)? {
            return Ok(None);
        }
        let system = sqlx::query_scalar(statements::SYSTEM).fetch_one(&self.pool);
        system.await.map(Some).map_err(&error)
    }

    /// Lets the log begin anew with the rows that are there.
    async fn rebase(&self, lease: &Lease, system: Option<&str>) -> Result<(), Error> {
        let error = error("rebase");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let lanes = change::lock(&mut tx).await?;
        let is_ours = sqlx::query_scalar(statements::IS_OURS)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .fetch_one(&mut *tx);
        if !is_ours.await.map_err(&error)? {
            return Err(lease.fenced(BACKEND, "rebase"));
        }
        // The relay of another lane may have been faster.
        if !is_elsewhere(&mut tx, system).await? {
            return Ok(());
        }
        for sql in [
            statements::FORGET_ASIDE,
            statements::ADOPT,
            statements::SKIP_IDS,
            statements::FORGET_PLACES,
            statements::RENAME,
        ] {
            sqlx::query(sql).execute(&mut *tx).await.map_err(&error)?;
        }
        let fence = sqlx::query(statements::FENCE_OTHERS).bind(self.relays());
        fence.execute(&mut *tx).await.map_err(&error)?;
        // A change of the lanes needs no barrier: all begin at one place.
        lanes.go_on(&mut tx, BEGIN_LANES, BEGINNING).await?;
        let origin = sqlx::query(statements::SET_ORIGIN).bind(system);
        origin.execute(&mut *tx).await.map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        tracing::warn!(
            "the outbox was loaded into another database: what is still in its log is published again"
        );
        Ok(())
    }
}

/// Whether the numbers of the transactions are those of another database.
async fn is_elsewhere(connection: &mut PgConnection, system: Option<&str>) -> Result<bool, Error> {
    let error = error("lease");
    let lanes = sqlx::query(statements::ORIGIN).fetch_all(connection).await;
    for lane in lanes.map_err(&error)? {
        let is_original: bool = lane.try_get(0).map_err(&error)?;
        let known: Option<String> = lane.try_get(1).map_err(&error)?;
        let position: String = lane.try_get(2).map_err(&error)?;
        let now: String = lane.try_get(3).map_err(&error)?;
        let is_other = known.as_deref().zip(system).is_some_and(|(a, b)| a != b);
        if !is_original || is_other || Place::parse(&position)?.is_after(&snapshot(&now)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
