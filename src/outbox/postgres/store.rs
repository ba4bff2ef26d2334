use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::Row;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryScalar};

use super::change::Change;
use super::lane::Share;
use super::operations;
use super::place::{Place, Snapshot};
use super::settle::put;
use super::{Postgres, queries};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::row::{self, LeaseRow, StoredRow, due_in, epoch, held, rows};
use crate::outbox::{
    Entry, EntryId, Halted, Lease, Parked, Position, Progress, Settled, Status, Store, Window,
};

/// Where the log stands.
pub(super) struct Cursor {
    pub(super) settled: Place,
    pub(super) now: Snapshot,
    /// Whether rows wait aside, and whether any are there.
    pub(super) waits: bool,
    pub(super) aside: bool,
    /// In how long the next scheduled message is due.
    pub(super) due: Option<Duration>,
    pub(super) share: Share,
    pub(super) change: Option<Change>,
}

impl Cursor {
    /// Where to read on: at `from`, or at what was settled last, which is not read again; of another
    /// lane it may be.
    pub(super) fn place(&self, from: Option<&Position>) -> Result<Place, Error> {
        let place = from.map(|from| Place::parse(from.as_str())).transpose()?;
        let ahead = place.filter(|place| !place.seen().is_before(self.settled.seen()));
        Ok(ahead.unwrap_or_else(|| self.settled.clone()))
    }
}

impl Postgres {
    async fn cursor(&self, lease: &Lease) -> Result<Cursor, Error> {
        type Columns = (
            String,
            String,
            bool,
            bool,
            Option<f64>,
            i32,
            bool,
            Option<String>,
        );
        let cursor: Option<Columns> = sqlx::query_as(queries::CURSOR)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        let (settled, now, waits, aside, due, lanes, changes, barrier) =
            cursor.ok_or_else(|| lease.fenced(BACKEND, "read"))?;
        let barrier = barrier.as_deref().map(snapshot).transpose()?;
        let (settled, now) = (Place::parse(&settled)?, snapshot(&now)?);
        if settled.is_after(&now) {
            return Err(self.moved(lease));
        }
        Ok(Cursor {
            settled,
            now,
            waits,
            aside,
            due: due.map(due_in),
            share: Share {
                lane: self.relays(),
                lanes,
            },
            change: changes.then_some(match barrier {
                Some(barrier) => Change::UpTo(barrier),
                None => Change::Wanted,
            }),
        })
    }

    /// The error of a tenure under which the database has become another: one that was restored, or an
    /// older state of it. The next one looks at it from the beginning.
    fn moved(&self, lease: &Lease) -> Error {
        self.verified.store(0, Ordering::Relaxed);
        lease.fenced(BACKEND, "read")
    }

    /// The next rows up to what can be seen: after `from`, or after what was settled last.
    pub(super) async fn read_window(
        &self,
        from: Option<&Position>,
        cursor: &Cursor,
        limit: i64,
    ) -> Result<Window, Error> {
        let mut place = cursor.place(from)?;
        let mut entries = Vec::new();
        if let Place::Within { seen, until, last } = place {
            (entries, place) = self.read_page(seen, until, last, cursor, limit).await?;
        }
        if let (Place::After(seen), true) = (&place, entries.is_empty()) {
            let seen = seen.clone();
            (entries, place) = self.read_after(seen, cursor, limit).await?;
        }
        Ok(Window::new(entries, Some(place.position())).with_aside(cursor.waits))
    }

    /// The next rows after all that `seen` sees, and the place after them.
    async fn read_after(
        &self,
        seen: Snapshot,
        cursor: &Cursor,
        limit: i64,
    ) -> Result<(Vec<Entry>, Place), Error> {
        let now = &cursor.now;
        if seen == *now {
            return Ok((Vec::new(), Place::After(seen)));
        }
        let sql = cursor.share.sql(&queries::READ_NEW);
        let read = sqlx::query(sql)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(now.text())
            // One more tells whether these are all.
            .bind(limit.saturating_add(1))
            .bind(cursor.aside);
        let mut entries = self.entries(cursor.share.bind(read)).await?;
        let is_more = rows_of(&entries) > limit;
        if is_more {
            entries.pop();
        }
        let place = match entries.last() {
            Some(entry) if is_more => Place::Within {
                last: entry.id.value(),
                seen,
                until: now.clone(),
            },
            _ => Place::After(now.clone()),
        };
        Ok((entries, place))
    }

    async fn read_page(
        &self,
        seen: Snapshot,
        until: Snapshot,
        last: i64,
        cursor: &Cursor,
        limit: i64,
    ) -> Result<(Vec<Entry>, Place), Error> {
        let read = sqlx::query(cursor.share.sql(&queries::READ_PAGE))
            .bind(seen.text())
            .bind(until.text())
            .bind(last)
            .bind(limit)
            .bind(cursor.aside);
        let entries = self.entries(cursor.share.bind(read)).await?;
        let place = match entries.last() {
            Some(entry) if rows_of(&entries) == limit => Place::Within {
                last: entry.id.value(),
                seen,
                until,
            },
            _ => Place::After(until),
        };
        Ok((entries, place))
    }

    /// The rows of the log that `read` gives, each decoded while the server sends the next ones.
    async fn entries(
        &self,
        read: Query<'_, sqlx::Postgres, PgArguments>,
    ) -> Result<Vec<Entry>, Error> {
        let mut rows = read.fetch(&self.pool);
        let mut entries = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(error("read"))? {
            entries.push(self.entry(&row)?);
        }
        Ok(entries)
    }

    /// A row that was set aside.
    pub(super) fn aside(&self, row: &PgRow) -> Result<Entry, Error> {
        let alone = row.try_get("alone").map_err(error("read"))?;
        Ok(self.entry(row)?.with_alone(alone))
    }

    /// A row of [`PARKED`](queries::PARKED).
    pub(super) fn parked_row(&self, row: &PgRow) -> Result<Parked, Error> {
        let error = error("parked");
        let reason: String = row.try_get("parked_reason").map_err(&error)?;
        let at = row.try_get("parked_at").map_err(&error)?;
        Ok(Parked::new(self.aside(row)?, reason, at))
    }

    /// By place, not by name: it is done for each row.
    pub(super) fn entry(&self, row: &PgRow) -> Result<Entry, Error> {
        let error = error("read");
        let headers: Option<Vec<u8>> = row.try_get(3).map_err(&error)?;
        let columns = match headers {
            Some(_) => None,
            None => row.try_get(7).map_err(&error)?,
        };
        let row = StoredRow {
            id: row.try_get(0).map_err(&error)?,
            topic: row.try_get(1).map_err(&error)?,
            key: row.try_get(2).map_err(&error)?,
            headers,
            payload: row.try_get(4).map_err(&error)?,
            created_at: row.try_get(5).map_err(&error)?,
            behind: row.try_get(6).map_err(&error)?,
            columns,
        };
        Ok(row.into_entry(BACKEND, &self.routing))
    }

    async fn say_sleeps(&self, lease: &Lease, sleeps: bool) -> Result<(), Error> {
        let said = sqlx::query(queries::SLEEPS)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .bind(sleeps)
            .execute(&self.pool)
            .await
            .map_err(error("idle"))?;
        held(said.rows_affected(), lease, BACKEND, "idle")
    }

    /// Moves the cursor by `advance`, and sets rows aside or changes those that are.
    async fn settle_with(
        &self,
        advance: QueryScalar<'_, sqlx::Postgres, bool, PgArguments>,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let error = error("settle");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let halts = Settled::halt(settled);
        if halts.is_some() {
            // Before the lane's own: lanes that halt at once would wait for each other.
            operations::lock_cursors(&mut tx, "settle").await?;
        }
        if !advance.fetch_one(&mut *tx).await.map_err(&error)? {
            return Err(lease.fenced(BACKEND, "settle"));
        }
        put(&mut tx, window, settled).await?;
        if let Some(reason) = halts {
            operations::halt(&mut tx, reason).await?;
        }
        tx.commit().await.map_err(&error)
    }
}

impl Store for Postgres {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let given: Option<LeaseRow<i32>> = sqlx::query_as(queries::LEASE)
            .bind(owner)
            .bind(ttl.as_secs_f64())
            .bind(self.relays())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("lease"))?;
        let Some(given) = given else {
            return Box::pin(self.is_no_queue("lease")).await.map(|()| None);
        };
        let lease = row::lease(owner, given);
        if self.verified.load(Ordering::Relaxed) != lease.epoch {
            // In a box, as what is seldom done is not to make each relay larger.
            if let Err(error) = Box::pin(self.verify(&lease)).await {
                // Nobody need wait for it; else it ends by itself.
                drop(self.release(&lease).await);
                return Err(error);
            }
            self.verified.store(lease.epoch, Ordering::Relaxed);
        }
        Ok(Some(lease))
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let done = sqlx::query(queries::RELEASE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .execute(&self.pool)
            .await
            .map_err(error("release"))?;
        held(done.rows_affected(), lease, BACKEND, "release")
    }

    async fn progress(&self, lease: &Lease) -> Result<Progress, Error> {
        let progress: Option<(String, String, i64)> = sqlx::query_as(queries::PROGRESS)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        let (outbox, settled, epoch) = progress.ok_or_else(|| lease.fenced(BACKEND, "read"))?;
        let position = Position::new(settled);
        Ok(Progress::new(outbox, position, epoch.unsigned_abs()))
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let cursor = self.cursor(lease).await?;
        if let Some(change) = &cursor.change {
            let change = change.clone();
            return Box::pin(self.read_in(change, lease, from, cursor, limit)).await;
        }
        if cursor.place(from)?.is_after(&cursor.now) {
            return Err(self.moved(lease));
        }
        let window = self.read_window(from, &cursor, rows(limit)).await?;
        if window.entries.is_empty() && cursor.is_far_behind() {
            Box::pin(self.catch_up(lease, &cursor)).await?;
        }
        Ok(window.with_due(cursor.due))
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let cursor = self.cursor(lease).await?;
        if cursor.change.is_some() {
            // A key may be another lane's soon.
            return Ok(Window::default());
        }
        let held: Vec<&str> = held.iter().map(|topic| &**topic).collect();
        let waiting = sqlx::query(cursor.share.sql(&queries::SET_ASIDE))
            .bind(held)
            .bind(rows(limit));
        let rows = cursor.share.bind(waiting).fetch_all(&self.pool).await;
        let rows = rows.map_err(error("read"))?;
        let entries = rows.iter().map(|row| self.aside(row));
        let entries = entries.collect::<Result<_, _>>()?;
        Ok(Window::new(entries, None).with_aside(cursor.waits))
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.move_due(lease, limit).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        window.check(settled, BACKEND)?;
        let advance = sqlx::query_scalar(queries::ADVANCE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(self.relays())
            .bind(window.next.as_ref().map(Position::as_str));
        let error = error("settle");
        let all_published = settled.iter().all(|one| *one == Settled::Published);
        if window.next.is_some() && all_published {
            return match advance.fetch_one(&self.pool).await.map_err(&error)? {
                true => Ok(()),
                false => Err(lease.fenced(BACKEND, "settle")),
            };
        }
        // In a box, as above.
        Box::pin(self.settle_with(advance, lease, window, settled)).await
    }

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        self.note_trying(lease, row).await
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        let error = error("halt");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        operations::halt(&mut tx, reason).await?;
        tx.commit().await.map_err(&error)
    }

    async fn resume(&self) -> Result<(), Error> {
        let error = error("resume");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        operations::resume(&mut tx).await?;
        tx.commit().await.map_err(&error)
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        self.read_halted().await
    }

    async fn tidy(&self) -> Result<(), Error> {
        let forgotten = self.forget_positions().await;
        self.empty_parts().await.and(forgotten)
    }

    async fn idle(&self, lease: &Lease) -> Result<(), Error> {
        self.say_sleeps(lease, true).await
    }

    async fn busy(&self, lease: &Lease) -> Result<(), Error> {
        self.say_sleeps(lease, false).await
    }

    async fn committed(&self) {
        self.wake.committed().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        self.state().await
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let error = error("parked");
        let share = self.share().await?;
        let parked = sqlx::query(share.sql(&queries::PARKED)).bind(rows(limit));
        let parked = share.bind(parked).fetch_all(&self.pool).await;
        let parked = parked.map_err(&error)?;
        parked.iter().map(|row| self.parked_row(row)).collect()
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::RETRY, id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::DISCARD, id).await
    }
}

fn rows_of(entries: &[Entry]) -> i64 {
    i64::try_from(entries.len()).unwrap_or(i64::MAX)
}

pub(super) fn snapshot(text: &str) -> Result<Snapshot, Error> {
    Snapshot::parse(text).ok_or_else(|| {
        Error::new(Kind::Corrupt, BACKEND, "read").with_detail(format!("{text:?} is no snapshot"))
    })
}
