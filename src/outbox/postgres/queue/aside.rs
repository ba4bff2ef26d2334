//! What becomes of rows that could not be published.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::hand::Hand;
use super::queries;
use crate::driver::postgres::{BACKEND, error};
use crate::error::Error;
use crate::outbox::{Entry, Lease, Settled, Window};

/// Rows that are put aside as they were in the log, by column.
#[derive(Debug, Default)]
struct Columns<'a> {
    id: Vec<i64>,
    event_id: Vec<String>,
    aggregate_id: Vec<Option<String>>,
    kind: Vec<String>,
    topic: Vec<&'a str>,
    key: Vec<Option<Vec<u8>>>,
    headers: Vec<Option<Vec<u8>>>,
    payload: Vec<Option<Vec<u8>>>,
    created_at: Vec<DateTime<Utc>>,
    source: Vec<Option<String>>,
    text_headers: Vec<Option<String>>,
    reason: Vec<Option<&'a str>>,
    alone: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn push(
        &mut self,
        row: &PgRow,
        entry: &'a Entry,
        settled: &'a Settled,
    ) -> Result<(), sqlx::Error> {
        self.id.push(entry.id.value());
        self.event_id.push(row.try_get("event_id")?);
        self.aggregate_id.push(row.try_get("aggregateid")?);
        self.kind.push(row.try_get("type")?);
        self.topic.push(&entry.record.topic);
        self.key.push(row.try_get("key")?);
        self.headers.push(row.try_get("headers")?);
        self.payload.push(row.try_get("payload")?);
        self.created_at.push(row.try_get("created_at")?);
        self.source.push(row.try_get("source")?);
        self.text_headers.push(row.try_get("text_headers")?);
        self.reason.push(settled.reason());
        self.alone.push(settled.is_alone());
        Ok(())
    }
}

impl Hand {
    /// Writes what of the rows in hand was not published to where it waits or is parked.
    pub(super) async fn put_aside(
        &mut self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let error = error("settle");
        let rows = self.rows.iter().map(|row| Ok((row.try_get(0)?, row)));
        let rows: HashMap<i64, &PgRow> = rows.collect::<Result<_, _>>().map_err(&error)?;
        let mut columns = Columns::default();
        for (entry, settled) in window.entries.iter().zip(settled) {
            if *settled == Settled::Published {
                continue;
            }
            let row = rows.get(&entry.id.value());
            let row = row.ok_or_else(|| lease.fenced(BACKEND, "settle"))?;
            columns.push(row, entry, settled).map_err(&error)?;
        }
        let put = sqlx::query(queries::PUT_ASIDE)
            .bind(columns.id)
            .bind(columns.event_id)
            .bind(columns.aggregate_id)
            .bind(columns.kind)
            .bind(columns.topic)
            .bind(columns.key)
            .bind(columns.headers)
            .bind(columns.payload)
            .bind(columns.created_at)
            .bind(columns.source)
            .bind(columns.text_headers)
            .bind(columns.reason)
            .bind(columns.alone)
            .persistent(false);
        let put = put.execute(&mut *self.tx).await;
        put.map(drop).map_err(&error)
    }

    /// Writes what became of rows that waited aside.
    pub(super) async fn change_aside(
        &mut self,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        let (mut published, mut ids) = (Vec::new(), Vec::new());
        let (mut reasons, mut alone) = (Vec::new(), Vec::new());
        for (entry, settled) in window.entries.iter().zip(settled) {
            if *settled == Settled::Published {
                published.push(entry.id.value());
            } else if let Some(reason) = settled.reason() {
                ids.push(entry.id.value());
                reasons.push(reason);
                alone.push(settled.is_alone());
            }
        }
        let published = sqlx::query(queries::PUBLISHED_ASIDE).bind(published);
        let park = sqlx::query(queries::PARK)
            .bind(ids)
            .bind(reasons)
            .bind(alone);
        for change in [published, park] {
            let changed = change.persistent(false).execute(&mut *self.tx).await;
            changed.map_err(error("settle"))?;
        }
        Ok(())
    }
}
