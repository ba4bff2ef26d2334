use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Row, Transaction};

use super::place::{Place, Snapshot};
use super::{Postgres, queries};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::outbox::row::{StoredRow, epoch, rows};
use crate::outbox::{Entry, EntryId, Lease, Parked, Position, Settled, Status, Store, Window};

type Tx = Transaction<'static, sqlx::Postgres>;

/// Where the log stands.
struct Cursor {
    settled: Place,
    now: Snapshot,
    /// Whether rows wait aside, and whether any are there.
    waits: bool,
    aside: bool,
}

impl Postgres {
    async fn cursor(&self, lease: &Lease) -> Result<Cursor, Error> {
        let cursor: Option<(String, String, bool, bool)> = sqlx::query_as(queries::CURSOR)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .fetch_optional(&self.pool)
            .await
            .map_err(error("read"))?;
        let (settled, now, waits, aside) = cursor.ok_or_else(|| lease.fenced(BACKEND, "read"))?;
        Ok(Cursor {
            settled: Place::parse(&settled)?,
            now: snapshot(&now)?,
            waits,
            aside,
        })
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
        let (count, _) = self.count(&seen, now, limit.saturating_add(1)).await?;
        if count == 0 {
            return Ok((Vec::new(), Place::After(now.clone())));
        }
        if count <= limit {
            let entries = self.read_all(&seen, cursor).await?;
            return Ok((entries, Place::After(now.clone())));
        }
        // Of so many only the first ones were looked at.
        let (_, first) = self.count(&seen, now, i64::MAX).await?;
        let before = first.unwrap_or_default().saturating_sub(1);
        self.read_page(seen, now.clone(), before, cursor, limit)
            .await
    }

    async fn count(
        &self,
        seen: &Snapshot,
        until: &Snapshot,
        limit: i64,
    ) -> Result<(i64, Option<i64>), Error> {
        sqlx::query_as(queries::COUNT)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(until.text())
            .bind(limit)
            .fetch_one(&self.pool)
            .await
            .map_err(error("read"))
    }

    async fn read_all(&self, seen: &Snapshot, cursor: &Cursor) -> Result<Vec<Entry>, Error> {
        let rows = sqlx::query(queries::READ_ALL)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(cursor.now.text())
            .bind(cursor.aside)
            .fetch_all(&self.pool)
            .await
            .map_err(error("read"))?;
        rows.iter().map(entry).collect()
    }

    async fn read_page(
        &self,
        seen: Snapshot,
        until: Snapshot,
        last: i64,
        cursor: &Cursor,
        limit: i64,
    ) -> Result<(Vec<Entry>, Place), Error> {
        let rows = sqlx::query(queries::READ_PAGE)
            .bind(seen.text())
            .bind(until.text())
            .bind(last)
            .bind(limit)
            .bind(cursor.aside)
            .fetch_all(&self.pool)
            .await
            .map_err(error("read"))?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let is_whole = i64::try_from(entries.len()).is_ok_and(|count| count == limit);
        let place = match entries.last() {
            Some(entry) if is_whole => Place::Within {
                last: entry.id.value(),
                seen,
                until,
            },
            _ => Place::After(until),
        };
        Ok((entries, place))
    }

    /// # Errors
    ///
    /// [`Kind::Conflict`] when relays without order work on the table.
    async fn is_no_queue(&self) -> Result<(), Error> {
        let is_queue = sqlx::query_scalar(queries::IS_QUEUE).fetch_one(&self.pool);
        let is_queue: Option<bool> = is_queue.await.map_err(error("lease"))?;
        if is_queue == Some(true) {
            return Err(Error::new(Kind::Conflict, BACKEND, "lease")
                .with_detail("the outbox is relayed as a queue, and cannot be a log"));
        }
        Ok(())
    }

    async fn change_parked(&self, sql: &'static str, id: EntryId) -> Result<(), Error> {
        let error = error("change parked row");
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let alone = sqlx::query(queries::ALONE);
        alone.execute(&mut *tx).await.map_err(&error)?;
        let changed: Option<(String, Option<Vec<u8>>)> = sqlx::query_as(sql)
            .bind(id.value())
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        let Some((topic, key)) = changed else {
            return Err(Error::new(Kind::NotFound, BACKEND, "change parked row")
                .with_detail(format!("row {id} is not parked")));
        };
        let reckon = sqlx::query(queries::RECKON_KEY);
        let reckon = reckon.bind(id.value()).bind(topic).bind(key);
        reckon.execute(&mut *tx).await.map_err(&error)?;
        tx.commit().await.map_err(&error)
    }
}

impl Store for Postgres {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        let epoch: Option<i64> = sqlx::query_scalar(queries::LEASE)
            .bind(owner)
            .bind(ttl.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(error("lease"))?;
        match epoch {
            Some(epoch) => Ok(Some(Lease::new(owner, epoch.unsigned_abs()))),
            None => self.is_no_queue().await.map(|()| None),
        }
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        let done = sqlx::query(queries::RELEASE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .execute(&self.pool)
            .await
            .map_err(error("release"))?;
        if done.rows_affected() == 0 {
            return Err(lease.fenced(BACKEND, "release"));
        }
        Ok(())
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let cursor = self.cursor(lease).await?;
        let limit = rows(limit);
        let mut place = match from {
            Some(position) => Place::parse(position.as_str())?,
            None => cursor.settled.clone(),
        };
        let mut entries = Vec::new();
        if let Place::Within { seen, until, last } = place {
            (entries, place) = self.read_page(seen, until, last, &cursor, limit).await?;
        }
        if let (Place::After(seen), true) = (&place, entries.is_empty()) {
            let seen = seen.clone();
            (entries, place) = self.read_after(seen, &cursor, limit).await?;
        }
        Ok(Window::new(entries, Some(place.position())).with_aside(cursor.waits))
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        let cursor = self.cursor(lease).await?;
        let held: Vec<&str> = held.iter().map(|topic| &**topic).collect();
        let rows = sqlx::query(queries::SET_ASIDE)
            .bind(held)
            .bind(rows(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(error("read"))?;
        let entries = rows.iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Window::new(entries, None).with_aside(cursor.waits))
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        window.check(settled, BACKEND)?;
        let advance = sqlx::query(queries::ADVANCE)
            .bind(&*lease.owner)
            .bind(epoch(lease.epoch))
            .bind(window.next.as_ref().map(Position::as_str));
        let error = error("settle");
        let all_published = settled.iter().all(|one| *one == Settled::Published);
        if window.next.is_some() && all_published {
            let moved = advance.execute(&self.pool).await.map_err(&error)?;
            return match moved.rows_affected() {
                0 => Err(lease.fenced(BACKEND, "settle")),
                _ => Ok(()),
            };
        }
        let mut tx = postgres::begin(&self.pool).await.map_err(&error)?;
        let moved = advance.execute(&mut *tx).await.map_err(&error)?;
        if moved.rows_affected() == 0 {
            return Err(lease.fenced(BACKEND, "settle"));
        }
        put(&mut tx, window, settled).await?;
        tx.commit().await.map_err(&error)
    }

    async fn tidy(&self) -> Result<(), Error> {
        self.empty_parts().await
    }

    async fn committed(&self) {
        self.wake.committed().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        let error = error("status");
        let row = sqlx::query(queries::STATUS)
            .fetch_one(&self.pool)
            .await
            .map_err(&error)?;
        let owner: Option<String> = row.try_get("owner").map_err(&error)?;
        let position: String = row.try_get("position").map_err(&error)?;
        let place = Place::parse(&position)?;
        let nothing = snapshot("1:1:")?;
        let (seen, until, last) = match &place {
            Place::After(seen) => (seen, &nothing, 0),
            Place::Within { seen, until, last } => (seen, until, *last),
        };
        let (pending, first): (i64, Option<DateTime<Utc>>) = sqlx::query_as(queries::PENDING)
            .bind(seen.xmax())
            .bind(seen.running())
            .bind(until.text())
            .bind(last)
            .fetch_one(&self.pool)
            .await
            .map_err(&error)?;
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        let waiting: Option<DateTime<Utc>> = row.try_get("oldest").map_err(&error)?;
        Ok(Status {
            pending: pending.unsigned_abs() + count("waiting").map_err(&error)?,
            oldest: first.into_iter().chain(waiting).min(),
            parked: count("parked").map_err(&error)?,
            owner: owner.map(Into::into),
            epoch: count("epoch").map_err(&error)?,
        })
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let error = error("parked");
        let parked = sqlx::query(queries::PARKED).bind(rows(limit));
        let parked = parked.fetch_all(&self.pool).await.map_err(&error)?;
        parked.iter().map(parked_row).collect()
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::RETRY, id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::DISCARD, id).await
    }
}

/// Sets rows of the log aside, or changes what was.
async fn put(tx: &mut Tx, window: &Window, settled: &[Settled]) -> Result<(), Error> {
    let error = error("settle");
    let (mut published, mut ids, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let is_of_the_log = window.next.is_some();
    for (entry, settled) in window.entries.iter().zip(settled) {
        let reason = match settled {
            Settled::Published => {
                published.push(entry.id.value());
                continue;
            }
            Settled::Aside if is_of_the_log => None,
            Settled::Aside => continue,
            Settled::Parked(reason) => Some(reason.as_str()),
        };
        ids.push(entry.id.value());
        reasons.push(reason);
    }
    if !is_of_the_log {
        let published = sqlx::query(queries::PUBLISHED_ASIDE).bind(published);
        published.execute(&mut **tx).await.map_err(&error)?;
    }
    if ids.is_empty() {
        return Ok(());
    }
    let sql = if is_of_the_log {
        queries::PUT_ASIDE
    } else {
        queries::PARK
    };
    let put = sqlx::query(sql).bind(&ids).bind(reasons);
    put.execute(&mut **tx).await.map_err(&error)?;
    let reckon = sqlx::query(queries::RECKON).bind(&ids);
    reckon.execute(&mut **tx).await.map_err(&error).map(drop)
}

/// By place, not by name: it is done for each row.
pub(super) fn entry(row: &PgRow) -> Result<Entry, Error> {
    let error = error("read");
    Ok(Entry::from(StoredRow {
        id: row.try_get(0).map_err(&error)?,
        topic: row.try_get(1).map_err(&error)?,
        key: row.try_get(2).map_err(&error)?,
        headers: row.try_get(3).map_err(&error)?,
        payload: row.try_get(4).map_err(&error)?,
        created_at: row.try_get(5).map_err(&error)?,
        behind: row.try_get(6).map_err(&error)?,
    }))
}

/// A row of [`PARKED`](queries::PARKED).
pub(super) fn parked_row(row: &PgRow) -> Result<Parked, Error> {
    let error = error("parked");
    let reason: String = row.try_get("parked_reason").map_err(&error)?;
    let at = row.try_get("parked_at").map_err(&error)?;
    Ok(Parked::new(entry(row)?, reason, at))
}

fn snapshot(text: &str) -> Result<Snapshot, Error> {
    Snapshot::parse(text).ok_or_else(|| {
        Error::new(Kind::Corrupt, BACKEND, "read").with_detail(format!("{text:?} is no snapshot"))
    })
}
