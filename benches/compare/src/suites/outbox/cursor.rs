use std::sync::Arc;
use std::time::Duration;

use bowline::shutdown::Token;
use sqlx::{PgPool, Row as _};
use tokio::time::sleep;

use super::KEYS;
use super::ours::{PAYLOAD, payload_sql};
use super::sink::{Sink, number};
use super::worker::Outbox;
use crate::report::Result;

/// The statements alone: no gap of the sequence is waited for, nobody is told, nothing is fenced.
pub(super) struct Cursor {
    pool: PgPool,
}

/// The columns of an event, as all that is written by hand here has them.
pub(super) const TABLE: &str = "CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, \
    event_id text, aggregatetype text, aggregateid text, type text, topic text, key bytea, \
    headers bytea, payload bytea, created_at timestamptz DEFAULT clock_timestamp())";
const CURSOR: &str = "CREATE TABLE cursor (id int PRIMARY KEY, last bigint) WITH (fillfactor = 50)";
const READ: &str = "SELECT id, topic, key, headers, payload, created_at FROM raw WHERE id > $1 \
    ORDER BY id LIMIT 1000";
const WRITE: &str = "INSERT INTO raw (event_id, aggregatetype, aggregateid, type, topic, key, headers, \
    payload) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], \
    $6::bytea[], $7::bytea[], $8::bytea[])";
/// As many bytes as ours are.
const HEADERS: usize = 180;
/// How often a loop looks again that has found nothing.
pub(super) const POLL: Duration = Duration::from_millis(5);

impl Outbox for Cursor {
    async fn create(url: &str) -> Result<Self> {
        let cursor = Self::open(url).await?;
        for sql in [TABLE, CURSOR, "INSERT INTO cursor VALUES (1, 0)"] {
            sqlx::raw_sql(sql).execute(&cursor.pool).await?;
        }
        Ok(cursor)
    }

    async fn open(url: &str) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { pool })
    }

    fn insert(&self, first: &str, last: &str) -> String {
        insert(first, last)
    }

    async fn write(&self, first: u32, last: u32) -> Result<()> {
        let numbers = first..=last;
        let count = numbers.clone().count();
        let text = |text: &str| vec![text.to_owned(); count];
        let keys: Vec<_> = numbers.clone().map(|n| (n % KEYS).to_string()).collect();
        let payloads = numbers.map(|number| {
            let mut payload = vec![0x5a; PAYLOAD];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            payload
        });
        let mut tx = self.pool.begin().await?;
        sqlx::query(WRITE)
            .bind(text("01234567-89ab-cdef-0123-456789abcdef"))
            .bind(text("task"))
            .bind(&keys)
            .bind(text("task.created"))
            .bind(text("events"))
            .bind(keys.iter().map(String::as_bytes).collect::<Vec<_>>())
            .bind(vec![vec![0x68; HEADERS]; count])
            .bind(payloads.collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    fn relay(
        &self,
        sink: Arc<Sink>,
        token: Token,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        relay(self.pool.clone(), sink, token)
    }
}

async fn relay(pool: PgPool, sink: Arc<Sink>, token: Token) -> Result<()> {
    let last = "SELECT last FROM cursor WHERE id = 1";
    let mut last: i64 = sqlx::query_scalar(last).fetch_one(&pool).await?;
    while !token.is_stopped() {
        let rows = sqlx::query(READ).bind(last).fetch_all(&pool).await?;
        let Some(end) = rows.last() else {
            sleep(POLL).await;
            continue;
        };
        last = end.try_get(0)?;
        for row in &rows {
            let _headers: Vec<u8> = row.try_get(3)?;
            sink.done(number(Some(row.try_get(4)?)));
        }
        let moved = sqlx::query("UPDATE cursor SET last = $1 WHERE id = 1").bind(last);
        moved.execute(&pool).await?;
    }
    Ok(())
}

pub(super) fn insert(first: &str, last: &str) -> String {
    format!(
        "INSERT INTO raw (event_id, aggregatetype, aggregateid, type, topic, key, headers, payload) \
         SELECT gen_random_uuid()::text, 'task', (n % {KEYS})::text, 'task.created', 'events', \
         convert_to((n % {KEYS})::text, 'UTF8'), decode('{}', 'hex'), {} \
         FROM generate_series({first}, {last}) n",
        "68".repeat(HEADERS),
        payload_sql(),
    )
}
