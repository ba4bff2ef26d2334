use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::hand::{Hand, Held, Tx, begin};
use super::{PostgresQueue, queries};
use crate::driver::postgres::{self, BACKEND, error};
use crate::error::{Error, Kind};
use crate::message::blob;
use crate::outbox::postgres::queries::PARKED;
use crate::outbox::postgres::store::{entry, parked_row};
use crate::outbox::row::rows;
use crate::outbox::{Entry, EntryId, Lease, Parked, Position, Settled, Status, Store, Window};

impl PostgresQueue {
    /// Every statement stands in a transaction: behind a pooler the next one may be another connection's.
    async fn begin_short(&self, operation: &'static str) -> Result<Tx, Error> {
        let begun = postgres::begin(&self.outbox.pool).await;
        begun.map_err(error(operation))
    }

    async fn first_lease(&self, owner: &str, ttl: Duration) -> Result<Lease, Error> {
        let error = error("lease");
        let mut tx = self.begin_short("lease").await?;
        let epoch: Option<i64> = sqlx::query_scalar(queries::LEASE)
            .persistent(false)
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
        let Some(epoch) = epoch else {
            return Err(Error::new(Kind::Conflict, BACKEND, "lease")
                .with_detail("the outbox is relayed as a log, and cannot be a queue"));
        };
        tx.commit().await.map_err(&error)?;
        Ok(self.leases.grant(owner, epoch.unsigned_abs(), ttl))
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
            return self.first_lease(owner, ttl).await.map(Some);
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
        Held::give_back(&mut hand).await;
        let error = error("read");
        let begun = begin(&self.outbox.pool, held.ttl).await;
        let mut tx = begun.map_err(&error)?;
        let take = sqlx::query(queries::TAKE).bind(rows(limit));
        let taken = take.persistent(false).fetch_all(&mut *tx).await;
        let taken = taken.map_err(&error)?;
        let Some(first) = taken.first() else {
            let any = sqlx::query_scalar(queries::ANY_ASIDE).persistent(false);
            let aside = any.fetch_one(&mut *tx).await.map_err(&error)?;
            tx.rollback().await.map_err(&error)?;
            return Ok(Window::new(Vec::new(), Some(Position::at(0))).with_aside(aside));
        };
        let aside = first.try_get(7).map_err(&error)?;
        let (mut entries, unreadable) = entries(&taken)?;
        entries.sort_unstable_by_key(|entry| entry.id);
        let position = entries.last().map(|entry| Position::at(entry.id.value()));
        *hand = Some(Hand {
            tx,
            position: position.clone(),
            unreadable,
        });
        Ok(Window::new(entries, position).with_aside(aside))
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
        Held::give_back(&mut hand).await;
        let error = error("read");
        let begun = begin(&self.outbox.pool, held.ttl).await;
        let mut tx = begun.map_err(&error)?;
        let take = sqlx::query(queries::TAKE_ASIDE)
            .bind(topics)
            .bind(rows(limit));
        let taken = take.persistent(false).fetch_all(&mut *tx).await;
        let (entries, unreadable) = entries(&taken.map_err(&error)?)?;
        if entries.is_empty() {
            tx.rollback().await.map_err(&error)?;
        } else {
            *hand = Some(Hand {
                tx,
                position: None,
                unreadable,
            });
        }
        Ok(Window::new(entries, None).with_aside(true))
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
            change_aside(&mut hand, window, settled).await?;
        } else if settled.iter().any(|one| *one != Settled::Published) {
            put_aside(&mut hand, window, settled).await?;
        }
        hand.tx.commit().await.map_err(error("settle"))
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
        let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
        Ok(Status {
            pending: count("pending").map_err(&error)?,
            oldest: row.try_get("oldest").map_err(&error)?,
            parked: count("parked").map_err(&error)?,
            owner: None,
            epoch: count("epoch").map_err(&error)?,
        })
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        let error = error("parked");
        let mut tx = self.begin_short("parked").await?;
        let found = sqlx::query(PARKED).bind(rows(limit)).persistent(false);
        let found = found.fetch_all(&mut *tx).await.map_err(&error)?;
        tx.rollback().await.map_err(&error)?;
        found.iter().map(parked_row).collect()
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::RETRY, id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.change_parked(queries::DISCARD, id).await
    }
}

/// Rows as entries, and the headers that cannot be read.
fn entries(rows: &[PgRow]) -> Result<(Vec<Entry>, HashMap<i64, Vec<u8>>), Error> {
    let mut entries = Vec::with_capacity(rows.len());
    let mut unreadable = HashMap::new();
    for row in rows {
        let entry = entry(row)?;
        if entry.unreadable.is_some() {
            let headers = row.try_get(3).map_err(error("read"))?;
            unreadable.insert(entry.id.value(), headers);
        }
        entries.push(entry);
    }
    Ok((entries, unreadable))
}

/// Writes what of the rows in hand was not published to where it waits or is parked.
async fn put_aside(hand: &mut Hand, window: &Window, settled: &[Settled]) -> Result<(), Error> {
    let mut columns = Columns::default();
    for (entry, settled) in window.entries.iter().zip(settled) {
        let reason = match settled {
            Settled::Published => continue,
            Settled::Aside => None,
            Settled::Parked(reason) => Some(reason.as_str()),
        };
        let headers = match hand.unreadable.remove(&entry.id.value()) {
            Some(headers) => headers.into(),
            None => blob::encode(&entry.record.headers)?,
        };
        columns.push(entry, headers, reason);
    }
    let put = sqlx::query(queries::PUT_ASIDE)
        .bind(columns.id)
        .bind(columns.topic)
        .bind(columns.key)
        .bind(
            columns
                .headers
                .iter()
                .map(|headers| &**headers)
                .collect::<Vec<_>>(),
        )
        .bind(columns.payload)
        .bind(columns.created_at)
        .bind(columns.reason)
        .persistent(false);
    let put = put.execute(&mut *hand.tx).await;
    put.map(drop).map_err(error("settle"))
}

/// Writes what became of rows that waited aside.
async fn change_aside(hand: &mut Hand, window: &Window, settled: &[Settled]) -> Result<(), Error> {
    let (mut published, mut ids, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, settled) in window.entries.iter().zip(settled) {
        match settled {
            Settled::Published => published.push(entry.id.value()),
            Settled::Aside => {}
            Settled::Parked(reason) => {
                ids.push(entry.id.value());
                reasons.push(reason.as_str());
            }
        }
    }
    let published = sqlx::query(queries::PUBLISHED_ASIDE).bind(published);
    let park = sqlx::query(queries::PARK).bind(ids).bind(reasons);
    for change in [published, park] {
        let changed = change.persistent(false).execute(&mut *hand.tx).await;
        changed.map_err(error("settle"))?;
    }
    Ok(())
}

/// Rows that are put aside, by column.
#[derive(Debug, Default)]
struct Columns<'a> {
    id: Vec<i64>,
    topic: Vec<&'a str>,
    key: Vec<Option<&'a [u8]>>,
    headers: Vec<Bytes>,
    payload: Vec<Option<&'a [u8]>>,
    created_at: Vec<DateTime<Utc>>,
    reason: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, entry: &'a Entry, headers: Bytes, reason: Option<&'a str>) {
        self.id.push(entry.id.value());
        self.topic.push(&entry.record.topic);
        self.key.push(entry.record.key.as_deref());
        self.headers.push(headers);
        self.payload.push(entry.record.payload.as_deref());
        self.created_at.push(entry.created_at);
        self.reason.push(reason);
    }
}
