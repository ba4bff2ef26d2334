//! How the number of lanes changes while they are relayed.
//!
//! A key may go to another lane, whose relay must not publish a row of it before the earlier ones are
//! settled, nor may one be settled twice. So all lanes stop at the same place:
//!
//! 1. The number is written down. From then on a lane's reads give nothing, and it is noted once it
//!    has nothing in hand.
//! 2. When that holds for every lane, or it has no lease, the barrier is set: a snapshot that sees all
//!    that any lane has read. Each lane goes on up to it, by the old number.
//! 3. When all are there, they go on from there by the new number.
//!
//! Each step is one transaction that holds all cursors, and is made by whichever relay comes first.

use std::num::{NonZeroU32, NonZeroUsize};

use sqlx::Row;

use super::place::{Place, Snapshot};
use super::queries::{self, change as statements};
use super::store::Cursor;
use super::{Postgres, Tx, operations};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::row::{epoch, rows};
use crate::outbox::{Lease, Position, Window};

/// How far a change of the number of lanes has come.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Lanes that have something in hand finish it.
    Wanted,
    /// They go on up to the barrier.
    UpTo(Snapshot),
}

/// The cursors of all lanes, held by a transaction.
pub(super) struct Lanes {
    number: i32,
    wanted: Option<i32>,
    barrier: Option<String>,
    /// Whether no lane has anything in hand.
    all_pause: bool,
    /// Whether each lane has come to the barrier.
    all_arrived: bool,
}

/// So many transactions may begin before a lane that has no rows notes that it has seen them: others
/// can give back the room of theirs only then.
const FAR: u64 = 10_000;

impl Cursor {
    /// Whether the log has gone on far beyond what is settled, in the other lanes.
    pub(super) fn is_far_behind(&self) -> bool {
        self.share.lanes > 1 && self.settled.seen().until(&self.now) > FAR
    }
}

impl Postgres {
    /// Changes the number of lanes to `lanes`, while they are relayed and written to. The order of each
    /// key is kept.
    ///
    /// Only the beginning is made here. The lanes that there were go on to a common place first, which
    /// takes as long as their relays need for what waits now, and a relay for each of them; nothing that
    /// is written meanwhile is published before all have come there. [`lanes`](Self::lanes) shows the new
    /// number once it counts. Rows aside go with their keys.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] above [`LANES_MAX`](Self::LANES_MAX), [`Kind::Conflict`] when the table is
    /// relayed as a queue, else those of the database; [`Kind::Schema`] without the tables.
    ///
    /// # Cancel safety
    ///
    /// When dropped, the change may have begun; it may be asked for again.
    pub async fn set_lanes(&self, lanes: NonZeroU32) -> Result<(), Error> {
        let error = error("set lanes");
        let allowed = i32::try_from(lanes.get()).ok();
        let Some(wanted) = allowed.filter(|_| lanes <= Self::LANES_MAX) else {
            let most = Self::LANES_MAX;
            return Err(Error::new(Kind::Invalid, BACKEND, "set lanes")
                .with_detail(format!("{lanes} lanes, allowed: 1 to {most}")));
        };
        self.is_no_queue("set lanes").await?;
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let now = lock(&mut tx).await?;
        if now.wanted.unwrap_or(now.number) == wanted {
            return Ok(());
        }
        for (sql, bound) in [
            (statements::WANT_LANES, Some(wanted)),
            (queries::NOTIFY, None),
        ] {
            let mut step = sqlx::query(sql);
            if let Some(bound) = bound {
                step = step.bind(bound);
            }
            step.execute(&mut *tx).await.map_err(&error)?;
        }
        tx.commit().await.map_err(&error)?;
        // Without a relay there may be nothing to wait for.
        self.set_barrier().await
    }

    /// Reads for `lease` while the number of lanes changes.
    pub(super) async fn read_in(
        &self,
        change: Change,
        lease: &Lease,
        from: Option<&Position>,
        cursor: Cursor,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        match change {
            Change::Wanted => {
                let place = cursor.place(from)?;
                let next = place.position();
                // A relay that has something in hand asks for what is behind it.
                if self.has_nothing_in_hand(lease, cursor, place).await? {
                    self.pause(lease).await?;
                    self.set_barrier().await?;
                }
                Ok(Window::new(Vec::new(), Some(next)))
            }
            Change::UpTo(barrier) => {
                let cursor = Cursor {
                    now: barrier,
                    ..cursor
                };
                let window = self.read_window(from, &cursor, rows(limit)).await?;
                if window.entries.is_empty() && self.catch_up(lease, &cursor).await? {
                    self.change_lanes().await?;
                }
                Ok(window)
            }
        }
    }

    /// Notes that all that can be seen is settled, if nothing waits in the lane; says whether it is.
    pub(super) async fn catch_up(&self, lease: &Lease, cursor: &Cursor) -> Result<bool, Error> {
        let end = Place::After(cursor.now.clone());
        if cursor.settled == end {
            return Ok(true);
        }
        // From where it is settled: a window that is in hand shows here.
        let waits = self.read_window(None, cursor, 1).await?;
        if !waits.entries.is_empty() {
            return Ok(false);
        }
        let error = error("read");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let held = sqlx::query_scalar(queries::HOLD)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .fetch_one(&mut *tx);
        if !held.await.map_err(&error)? {
            return Ok(false);
        }
        let moved = sqlx::query(queries::CATCH_UP)
            .bind(self.relays())
            .bind(end.position().as_str())
            .bind(cursor.settled.position().as_str())
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(moved.rows_affected() > 0)
    }

    /// Whether all up to `place` is settled.
    async fn has_nothing_in_hand(
        &self,
        lease: &Lease,
        cursor: Cursor,
        place: Place,
    ) -> Result<bool, Error> {
        if place == cursor.settled {
            return Ok(true);
        }
        let Place::After(now) = place else {
            return Ok(false);
        };
        self.catch_up(lease, &Cursor { now, ..cursor }).await
    }

    async fn pause(&self, lease: &Lease) -> Result<(), Error> {
        let paused = sqlx::query(statements::PAUSE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays());
        let paused = paused.execute(&self.pool).await;
        paused.map(drop).map_err(error("read"))
    }

    /// Sets the barrier if no lane has anything in hand.
    async fn set_barrier(&self) -> Result<(), Error> {
        let error = error("change lanes");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let now = lock(&mut tx).await?;
        if now.wanted.is_none() || now.barrier.is_some() || !now.all_pause {
            return Ok(());
        }
        let set = sqlx::query(statements::SET_BARRIER);
        set.execute(&mut *tx).await.map_err(&error)?;
        tx.commit().await.map_err(&error)
    }

    /// Goes on by the new number if every lane has come to the barrier.
    async fn change_lanes(&self) -> Result<(), Error> {
        let error = error("change lanes");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let now = lock(&mut tx).await?;
        let Some(barrier) = now.barrier.as_deref().filter(|_| now.all_arrived) else {
            return Ok(());
        };
        now.go_on(&mut tx, statements::MOVE_LANES, barrier).await?;
        tx.commit().await.map_err(&error)
    }
}

impl Lanes {
    /// Lets all lanes go on at `position`, to which they are brought by `moving`, as many as are wanted.
    pub(super) async fn go_on(
        &self,
        tx: &mut Tx,
        moving: &'static str,
        position: &str,
    ) -> Result<(), Error> {
        let lanes = self.wanted.unwrap_or(self.number);
        for step in [
            sqlx::query(statements::ADD_LANES).bind(lanes),
            sqlx::query(moving).bind(position),
            sqlx::query(statements::CHANGE_LANES).bind(lanes),
            sqlx::query(statements::UNMARK_LANES).bind(lanes),
        ] {
            let done = step.execute(&mut **tx).await;
            done.map_err(error("change lanes"))?;
        }
        Ok(())
    }
}

/// Holds the cursors of all lanes, so that none moves, and says how they stand.
pub(super) async fn lock(tx: &mut Tx) -> Result<Lanes, Error> {
    let error = error("change lanes");
    operations::lock_cursors(tx, "change lanes").await?;
    let cursors = sqlx::query(statements::LANES_NOW);
    let cursors = cursors.fetch_all(&mut **tx).await.map_err(&error)?;
    let mut lanes = Lanes {
        number: 1,
        wanted: None,
        barrier: None,
        all_pause: true,
        all_arrived: true,
    };
    for cursor in &cursors {
        lanes.number = cursor.try_get("lanes").map_err(&error)?;
        lanes.wanted = cursor.try_get("wanted").map_err(&error)?;
        lanes.barrier = cursor.try_get("barrier").map_err(&error)?;
        lanes.all_pause &= cursor.try_get::<bool, _>("pauses").map_err(&error)?;
        let position: String = cursor.try_get("position").map_err(&error)?;
        lanes.all_arrived &= lanes.barrier.as_ref() == Some(&position);
    }
    Ok(lanes)
}
