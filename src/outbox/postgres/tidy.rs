use super::Postgres;
use super::place::{Place, Snapshot};
use super::queries::{self, Part};
use super::store::snapshot;
use crate::driver::postgres::{self, error};
use crate::error::{Error, Kind};

impl Postgres {
    /// Forgets where the lane has been before.
    pub(super) async fn forget_positions(&self) -> Result<(), Error> {
        let forgotten = sqlx::query(queries::FORGET).bind(self.relays());
        let forgotten = forgotten.execute(&self.pool).await;
        forgotten.map(drop).map_err(error("tidy"))
    }

    /// Empties the parts of the log in which all is settled, but for the one that is written to.
    pub(super) async fn empty_parts(&self) -> Result<(), Error> {
        let lanes: Vec<(i32, String, String)> = sqlx::query_as(queries::NEWEST_PART)
            .fetch_all(&self.pool)
            .await
            .map_err(error("tidy"))?;
        let Some((newest, _, now)) = lanes.first() else {
            return Ok(());
        };
        let now = snapshot(now)?;
        // Settled in any case, whoever relays now.
        let places = lanes.iter().map(|(_, position, _)| Place::parse(position));
        let seen = places.map(|place| Ok(place?.seen().clone()));
        let seen: Vec<Snapshot> = seen.collect::<Result<_, Error>>()?;
        // Of any two, one sees all that the other does. The numbers may be those of another database.
        let first = seen.into_iter().reduce(Snapshot::first);
        let Some(first) = first.filter(|first| !now.is_before(first)) else {
            return Ok(());
        };
        for (number, part) in (0..).zip(&queries::PARTS) {
            if number == *newest || !self.is_settled(part, &first).await? {
                continue;
            }
            match self.empty(part, &first).await {
                // Somebody reads it; it is tried again.
                Err(error) if error.kind() == Kind::Contention => {}
                emptied => emptied?,
            }
        }
        Ok(())
    }

    async fn is_settled(&self, part: &Part, seen: &Snapshot) -> Result<bool, Error> {
        sqlx::query_scalar(part.is_settled)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(self.retention.map(|retention| retention.as_secs_f64()))
            .fetch_one(&self.pool)
            .await
            .map_err(error("tidy"))
    }

    /// Empties `part`, unless something was written into it meanwhile. With the lock nobody is writing.
    async fn empty(&self, part: &Part, seen: &Snapshot) -> Result<(), Error> {
        let error = error("tidy");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        for step in [queries::LOCK_TIMEOUT, part.lock] {
            sqlx::query(step).execute(&mut *tx).await.map_err(&error)?;
        }
        let is_settled: bool = sqlx::query_scalar(part.is_settled)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(self.retention.map(|retention| retention.as_secs_f64()))
            .fetch_one(&mut *tx)
            .await
            .map_err(&error)?;
        if is_settled {
            sqlx::query(part.empty)
                .execute(&mut *tx)
                .await
                .map_err(&error)?;
        }
        tx.commit().await.map_err(&error)
    }
}
