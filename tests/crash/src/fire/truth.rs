//! What was committed: tables beside the outbox that know it, whatever its writers hear.

use std::collections::HashMap;

use bowline::message::MessageId;
use bowline_test_history::{Row, Step};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, Transaction};

use super::UNREADABLE;

pub(super) const KEYS: i32 = 4;

/// The rows of the log, each with a snapshot from before it was committed, and a row for each key that a
/// transaction locks before it writes with it. What is due later, and what of it has come into the log,
/// and when.
const TABLES: &str = "CREATE TABLE things (key int PRIMARY KEY); \
    CREATE TABLE truth (id bigint, topic text, key text, name text, txid xid8, seen pg_snapshot, \
        moved_at timestamptz); \
    CREATE TABLE later (event_id text, name text PRIMARY KEY, due_at timestamptz); \
    CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO truth VALUES (NEW.id, NEW.topic, convert_from(NEW.key, 'UTF8'), \
            split_part(convert_from(NEW.payload, 'UTF8'), ' ', 1), NEW.txid, pg_current_snapshot(), \
            statement_timestamp()); \
        RETURN NULL; END $$; \
    CREATE TRIGGER moved AFTER INSERT ON bowline_outbox FOR EACH ROW WHEN (NEW.type LIKE '%.later') \
        EXECUTE FUNCTION moved();";

/// Which rows a transaction has written, as a part of it.
const WRITE_DOWN: &str = "INSERT INTO truth SELECT id, topic, convert_from(key, 'UTF8'), \
    split_part(convert_from(payload, 'UTF8'), ' ', 1), txid, pg_current_snapshot() \
    FROM bowline_outbox WHERE txid = pg_current_xact_id()";

/// What was due later keeps its order with its like: whoever moves it holds no lock of its key.
const ROWS: &str = "SELECT id, topic, CASE WHEN moved_at IS NULL THEN key ELSE key || ' later' END, name \
    FROM truth WHERE moved_at IS NULL OR name IN (SELECT name FROM later)";

/// Of a row that was due later and one that was not the first, if it was committed first as well.
const PAIRS: &str = "SELECT a.name, b.name FROM truth a JOIN truth b USING (topic, key) \
    WHERE (a.moved_at IS NULL) <> (b.moved_at IS NULL) AND a.id < b.id \
    AND pg_visible_in_snapshot(a.txid, b.seen)";

/// What is wrong with what was due later: what was taken back and came is seen by its name.
const LATER: &str = "SELECT name || CASE count(moved_at) \
        WHEN 0 THEN ' was due, and never came into the log' \
        WHEN 1 THEN ' came too early' ELSE ' came more than once' END \
    FROM later LEFT JOIN truth USING (name) GROUP BY name, due_at \
    HAVING count(moved_at) <> 1 OR min(moved_at) < due_at";

pub(super) async fn tables(pool: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(TABLES).execute(pool).await?;
    let keys = sqlx::query("INSERT INTO things SELECT generate_series(0, $1)");
    keys.bind(KEYS).execute(pool).await.map(drop)
}

pub(super) async fn write_down(tx: &mut Transaction<'_, Postgres>) -> Result<(), sqlx::Error> {
    sqlx::query(WRITE_DOWN).execute(&mut **tx).await.map(drop)
}

/// So many milliseconds from now, by the database's clock.
pub(super) async fn in_millis(
    tx: &mut Transaction<'_, Postgres>,
    millis: f64,
) -> Result<DateTime<Utc>, sqlx::Error> {
    let at = sqlx::query_scalar("SELECT clock_timestamp() + make_interval(secs => $1 / 1000)");
    at.bind(millis).fetch_one(&mut **tx).await
}

/// A message that is due later.
pub(super) async fn write_later(
    tx: &mut Transaction<'_, Postgres>,
    id: &MessageId,
    name: &str,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let later = sqlx::query("INSERT INTO later VALUES ($1, $2, $3)").bind(id.as_str());
    later.bind(name).bind(at).execute(&mut **tx).await.map(drop)
}

/// It was taken back. That happens once, and only to one that was committed.
pub(super) async fn taken_back(
    tx: &mut Transaction<'_, Postgres>,
    id: &MessageId,
) -> Result<(), sqlx::Error> {
    let taken = sqlx::query("DELETE FROM later WHERE event_id = $1").bind(id.as_str());
    let taken = taken.execute(&mut **tx).await?;
    assert_eq!(taken.rows_affected(), 1, "{id} was taken back");
    Ok(())
}

/// What was committed.
#[derive(Debug)]
pub(super) struct Truth {
    /// What is to be published.
    pub(super) rows: Vec<Row>,
    /// Names of which the first comes before the second.
    pub(super) pairs: Vec<(String, String)>,
    /// What is wrong with what was due later.
    pub(super) problems: Vec<String>,
}

impl Truth {
    pub(super) async fn read(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let rows: Vec<(i64, String, Option<String>, String)> =
            sqlx::query_as(ROWS).fetch_all(pool).await?;
        let rows = rows.into_iter().map(|(id, topic, key, name)| Row {
            id,
            topic,
            key,
            name,
        });
        let rows = rows.filter(|row| !row.name.starts_with(UNREADABLE));
        Ok(Self {
            rows: rows.collect(),
            pairs: sqlx::query_as(PAIRS).fetch_all(pool).await?,
            problems: sqlx::query_scalar(LATER).fetch_all(pool).await?,
        })
    }

    /// Those pairs that came the other way around.
    pub(super) fn turned(&self, steps: &[Step]) -> Vec<String> {
        let mut first = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            if let Step::Appended { name, .. } = step {
                first.entry(name).or_insert(at);
            }
        }
        let turned = self.pairs.iter().filter(|(a, b)| {
            let both = first.get(a).zip(first.get(b));
            both.is_some_and(|(a, b)| a > b)
        });
        turned
            .map(|(a, b)| format!("{b} came before {a}"))
            .collect()
    }
}
