use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::hand::{Hand, Held, begin};
use super::{PostgresQueue, queries};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::postgres::operations::{self, halted_of};
use crate::outbox::postgres::queries::{HALTED, PARKED};
use crate::outbox::postgres::{SCHEMA, Tx};
use crate::outbox::row::{due_in, rows};
use crate::outbox::{
    Entry, EntryId, Halted, Lease, Parked, Position, Progress, Settled, Status, Store, Window,
};

impl PostgresQueue {
    /// Every statement stands in a transaction: behind a pooler the next one may be another connection's.
    async fn begin_short(&self, operation: &'static str) -> Result<Tx, Error> {
        let begun = postgres::begin(&self.outbox.pool).await;
        begun.map_err(error(operation))
    }

    async fn first_lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let error = error("lease");
        let mut tx = self.begin_short("lease").await?;
        let version: Option<i64> = sqlx::query_scalar(queries::VERSION)
            .bind(SCHEMA.module)
            .persistent(false)
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        SCHEMA.check(BACKEND, "lease", version.unwrap_or(0))?;
        let lanes: Vec<(Option<String>, bool)> = sqlx::query_as(queries::ENGINE)
            .persistent(false)
            .fetch_all(&mut *tx)
            .await
            .map_err(&error)?;
        if lanes.iter().any(|lane| lane.0.as_deref() == Some("log")) {
            return Err(Error::new(Kind::Conflict, BACKEND, "lease")
                .with_detail("the outbox is relayed as a log, and cannot be a queue"));
        }
        if lanes.iter().any(|(_, is_halted)| *is_halted) {
            return Ok(None);
        }
        let epoch: i64 = sqlx::query_scalar(queries::LEASE)
            .persistent(false)
            .fetch_one(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(Some(self.leases.grant(owner, epoch.unsigned_abs(), ttl)))
    }

    /// A transaction for what `lease` takes next. What it has in hand is given back, unless the outbox is
    /// halted: that may still be settled then.
    async fn begin_next(
        &self,
        lease: &Lease,
        held: &Held,
        hand: &mut Option<Hand>,
    ) -> Result<Tx, Error> {
        if let Some(in_hand) = hand.as_mut()
            && matches!(in_hand.is_halted().await, Ok(true))
        {
            return Err(lease.fenced(BACKEND, "read"));
        }
        Held::give_back(hand).await;
        let begun = begin(&self.outbox.pool, held.ttl).await;
        begun.map_err(error("read"))
    }

    /// What there is besides the log, where nothing was taken; ends `tx`.
    async fn window_of_none(&self, lease: &Lease, mut tx: Tx) -> Result<Window, Error> {
        let error = error("read");
        let state = sqlx::query(queries::STATE).persistent(false);
        let state = state.fetch_one(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)?;
        if state.try_get("halted").map_err(&error)? {
            return Err(lease.fenced(BACKEND, "read"));
        }
        besides(Window::default(), &state).map_err(&error)
    }

    /// Rows as entries, in order.
    fn entries(&self, rows: &[PgRow]) -> Result<Vec<Entry>, Error> {
        let entries = rows.iter().map(|row| self.outbox.entry(row));
        let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable_by_key(|entry| entry.id);
        Ok(entries)
    }

    async fn change_parked(&self, sql: &'static str, id: EntryId) -> Result<(), Error> {
        const OPERATION: &str = "change parked row";
        let mut tx = self.begin_short(OPERATION).await?;
        let change = sqlx::query(sql).bind(id.value()).persistent(false);
        let changed = change.execute(&mut *tx).await.map_err(error(OPERATION))?;
        if changed.rows_affected() == 0 {
            return Err(Error::new(Kind::NotFound, BACKEND, OPERATION)
                .with_detail(format!("row {id} is not parked")));
        }
        tx.commit().await.map_err(error(OPERATION))
    }
}

impl Store for PostgresQueue {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let Some((lease, held)) = self.leases.renew(owner, ttl) else {
            return self.first_lease(owner, ttl).await;
        };
        let mut hand = held.hand.lock().await;
        if let Some(in_hand) = hand.as_mut()
            && in_hand.ping().await.is_err()
        {
            // Its rows are back already, and maybe somebody else's.
            *hand = None;
            self.leases.end(&lease);
            return Ok(None);
        }
        Ok(Some(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let held = self.leases.end(lease);
        let held = held.ok_or_else(|| lease.fenced(BACKEND, "release"))?;
        Held::give_back(&mut *held.hand.lock().await).await;
        Ok(())
    }

    /// A queue has no position: what is published exactly once has to be a log.
    async fn progress(&self, _: &Lease) -> Result<Progress, Error> {
        Err(Error::new(Kind::Invalid, BACKEND, "progress")
            .with_detail("a queue has no position, which publishing exactly once needs"))
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let held = self.leases.of(lease, "read")?;
        let mut hand = held.hand.lock().await;
        if let (Some(from), Some(in_hand)) = (from, &*hand)
            && in_hand.position.as_ref() == Some(from)
        {
            // What comes next would take a second transaction.
            return Ok(Window::new(Vec::new(), Some(from.clone())));
        }
        let error = error("read");
        let mut tx = self.begin_next(lease, &held, &mut hand).await?;
        let take = sqlx::query(queries::TAKE).bind(rows(limit));
        let taken = take.persistent(false).fetch_all(&mut *tx).await;
        let taken = taken.map_err(&error)?;
        let Some(first) = taken.first() else {
            let mut window = self.window_of_none(lease, tx).await?;
            window.next = Some(Position::at(0));
            return Ok(window);
        };
        let entries = self.entries(&taken)?;
        let position = entries.last().map(|entry| Position::at(entry.id.value()));
        let window = Window::new(entries, position.clone());
        let window = besides(window, first).map_err(&error)?;
        *hand = Some(Hand {
            tx,
            position,
            rows: taken,
        });
        Ok(window)
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let topics: Vec<&str> = held.iter().map(|topic| &**topic).collect();
        let held = self.leases.of(lease, "read")?;
        let mut hand = held.hand.lock().await;
        let mut tx = self.begin_next(lease, &held, &mut hand).await?;
        let take = sqlx::query(queries::TAKE_ASIDE)
            .bind(topics)
            .bind(rows(limit));
        let taken = take.persistent(false).fetch_all(&mut *tx).await;
        let taken = taken.map_err(error("read"))?;
        if taken.is_empty() {
            return self.window_of_none(lease, tx).await;
        }
        let entries = taken.iter().map(|row| self.outbox.aside(row));
        let entries = entries.collect::<Result<_, _>>()?;
        *hand = Some(Hand {
            tx,
            position: None,
            rows: Vec::new(),
        });
        Ok(Window::new(entries, None).with_aside(true))
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.leases.of(lease, "promote")?;
        let error = error("promote");
        let mut tx = self.begin_short("promote").await?;
        let (_, next): (bool, Option<f64>) = sqlx::query_as(queries::PROMOTE)
            .bind(rows(limit))
            .persistent(false)
            .fetch_one(&mut *tx)
            .await
            .map_err(&error)?;
        tx.commit().await.map_err(&error)?;
        Ok(next.map(due_in))
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        window.check(settled, BACKEND)?;
        let held = self.leases.of(lease, "settle")?;
        if window.entries.is_empty() {
            return Ok(());
        }
        let hand = held.hand.lock().await.take();
        let hand = hand.filter(|hand| hand.position == window.next);
        let mut hand = hand.ok_or_else(|| lease.fenced(BACKEND, "settle"))?;
        if window.next.is_none() {
            hand.change_aside(window, settled).await?;
        } else if settled.iter().any(|one| *one != Settled::Published) {
            hand.put_aside(lease, window, settled).await?;
        }
        if let Some(reason) = Settled::halt(settled) {
            operations::halt(&mut hand.tx, reason).await?;
        }
        hand.tx.commit().await.map_err(error("settle"))
    }

    /// Notes nothing: what a relay had in hand is back when it ends, and no lease is taken from another.
    async fn trying(&self, lease: &Lease, _row: Option<EntryId>) -> Result<(), Error> {
        self.leases.of(lease, "try").map(drop)
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        let mut tx = self.begin_short("halt").await?;
        operations::halt(&mut tx, reason).await?;
        tx.commit().await.map_err(error("halt"))
    }

    async fn resume(&self) -> Result<(), Error> {
        let mut tx = self.begin_short("resume").await?;
        operations::resume(&mut tx).await?;
        tx.commit().await.map_err(error("resume"))
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        let error = error("halted");
        let halted = sqlx::query(HALTED).persistent(false);
        // A relay that asks in the middle of a window may have the only connection.
        for held in self.leases.all() {
            if let Ok(mut hand) = held.hand.try_lock()
                && let Some(hand) = hand.as_mut()
            {
                let row = halted.fetch_one(&mut *hand.tx).await;
                return halted_of(&row.map_err(&error)?).map_err(&error);
            }
        }
        let mut tx = self.begin_short("halted").await?;
        let row = halted.fetch_one(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)?;
        halted_of(&row).map_err(&error)
    }

    /// Nothing tells of it: a connection that listens is none that a pooler gives out by the transaction.
    async fn committed(&self) {
        std::future::pending().await
    }

    async fn status(&self) -> Result<Status, Error> {
        let error = error("status");
        let mut tx = self.begin_short("status").await?;
        let status = sqlx::query(queries::STATUS).persistent(false);
        let row = status.fetch_one(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)?;
        let count = |name| {
            let count = row.try_get::<i64, _>(name).map(i64::unsigned_abs);
            count.map_err(&error)
        };
        let aside = count("aside")?;
        Ok(Status {
            pending: count("log")? + aside,
            oldest: row.try_get("oldest").map_err(&error)?,
            aside,
            parked: count("parked")?,
            // A parked row stops none.
            parked_keys: 0,
            scheduled: count("scheduled")?,
            halted: halted_of(&row).map_err(&error)?,
            owner: None,
            epoch: count("epoch")?,
        })
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let error = error("parked");
        let mut tx = self.begin_short("parked").await?;
        let found = sqlx::query(PARKED.one).bind(rows(limit)).persistent(false);
        let found = found.fetch_all(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)?;
        found
            .iter()
            .map(|row| self.outbox.parked_row(row))
            .collect()
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::RETRY, id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::DISCARD, id).await
    }
}

/// `window`, with what a row says of all besides the log.
fn besides(window: Window, row: &PgRow) -> Result<Window, sqlx::Error> {
    let due: Option<f64> = row.try_get("due")?;
    let window = window.with_due(due.map(due_in));
    Ok(window.with_aside(row.try_get("waiting")?))
}
