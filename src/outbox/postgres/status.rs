use chrono::{DateTime, Utc};
use sqlx::Row;

use super::lane::Share;
use super::place::Place;
use super::store::snapshot;
use super::{Postgres, operations, queries};
use crate::driver::postgres::error;
use crate::error::Error;
use crate::outbox::Status;

impl Postgres {
    /// The state of the lane, or of all lanes together.
    pub(super) async fn state(&self) -> Result<Status, Error> {
        let error = error("status");
        let cursors = sqlx::query(queries::CURSORS).bind(self.lane);
        let cursors = cursors.fetch_all(&self.pool).await.map_err(&error)?;
        let mut status = Status::default();
        for cursor in &cursors {
            let number = |name| cursor.try_get::<i32, _>(name).map_err(&error);
            let share = Share {
                lane: number("lane")?,
                lanes: number("lanes")?,
            };
            if share.lane == self.relays() {
                let owner: Option<String> = cursor.try_get("owner").map_err(&error)?;
                status.owner = owner.map(Into::into);
                let epoch: i64 = cursor.try_get("epoch").map_err(&error)?;
                status.epoch = epoch.unsigned_abs();
                status.halted = operations::halted_of(cursor).map_err(&error)?;
                self.count_aside(share, &mut status).await?;
            }
            let position: String = cursor.try_get("position").map_err(&error)?;
            let place = Place::parse(&position)?;
            self.count_pending(share, &place, &mut status).await?;
        }
        Ok(status)
    }

    /// Adds what is aside, in the lane or in all of them.
    async fn count_aside(&self, share: Share, status: &mut Status) -> Result<(), Error> {
        let error = error("status");
        let share = self.lane.map_or(Share::ALL, |_| share);
        let row = share
            .bind(sqlx::query(share.sql(&queries::COUNT_ASIDE)))
            .fetch_one(&self.pool)
            .await
            .map_err(&error)?;
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        status.aside = count("waiting").map_err(&error)?;
        status.pending += status.aside;
        status.parked = count("parked").map_err(&error)?;
        status.parked_keys = count("parked_keys").map_err(&error)?;
        status.scheduled = count("scheduled").map_err(&error)?;
        let oldest: Option<DateTime<Utc>> = row.try_get("oldest").map_err(&error)?;
        status.oldest = status.oldest.into_iter().chain(oldest).min();
        Ok(())
    }

    /// Adds what of a lane is not settled.
    async fn count_pending(
        &self,
        share: Share,
        place: &Place,
        status: &mut Status,
    ) -> Result<(), Error> {
        let error = error("status");
        let nothing = snapshot("1:1:")?;
        let (seen, until, last) = match place {
            Place::After(seen) => (seen, &nothing, 0),
            Place::Within { seen, until, last } => (seen, until, *last),
        };
        let pending = sqlx::query(share.sql(&queries::PENDING))
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(until.text())
            .bind(last);
        let row = share.bind(pending).fetch_one(&self.pool).await;
        let row = row.map_err(&error)?;
        let pending: i64 = row.try_get(0).map_err(&error)?;
        status.pending += pending.unsigned_abs();
        let oldest: Option<DateTime<Utc>> = row.try_get(1).map_err(&error)?;
        status.oldest = status.oldest.into_iter().chain(oldest).min();
        Ok(())
    }
}
