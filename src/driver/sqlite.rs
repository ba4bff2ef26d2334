//! SQLite through `sqlx`.

use sqlx::SqlitePool;
use sqlx::error::DatabaseError;

use super::{Schema, sql};
use crate::error::{Error, Kind};

/// The name of this back-end in errors.
pub(crate) const BACKEND: &str = "sqlite";

/// Starts a transaction that takes the write lock at once, so that it cannot fail half-way because
/// another writer was faster.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// The table of the versions.
const SCHEMA_TABLE: &str = "CREATE TABLE IF NOT EXISTS bowline_schema \
    (module TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT";

/// Turns a driver error into ours, for `map_err`.
pub(crate) fn error(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| {
        Error::new(sql::kind(&source, database_kind), BACKEND, operation)
            .with_source(sql::cause(source))
    }
}

/// Brings the tables of `schema` to this build's version, in one transaction.
pub(crate) async fn migrate(pool: &SqlitePool, schema: &Schema) -> Result<(), Error> {
    let error = error("migrate");
    let mut tx = pool.begin_with(BEGIN).await.map_err(&error)?;
    sqlx::raw_sql(SCHEMA_TABLE)
        .execute(&mut *tx)
        .await
        .map_err(&error)?;
    let from: Option<i64> =
        sqlx::query_scalar("SELECT version FROM bowline_schema WHERE module = $1")
            .bind(schema.module)
            .fetch_optional(&mut *tx)
            .await
            .map_err(&error)?;
    for step in schema.steps(BACKEND, from.unwrap_or(0))? {
        sqlx::raw_sql(*step)
            .execute(&mut *tx)
            .await
            .map_err(&error)?;
    }
    sqlx::query(
        "INSERT INTO bowline_schema (module, version) VALUES ($1, $2) \
         ON CONFLICT (module) DO UPDATE SET version = excluded.version",
    )
    .bind(schema.module)
    .bind(schema.version())
    .execute(&mut *tx)
    .await
    .map_err(&error)?;
    tx.commit().await.map_err(&error)
}

/// What [`migrate`] runs on an empty database.
pub(crate) fn migration_sql(schema: &Schema) -> String {
    schema.sql(SCHEMA_TABLE)
}

/// The kind of a result code; see <https://sqlite.org/rescode.html>.
fn database_kind(error: &dyn DatabaseError) -> Kind {
    let code: u32 = error.code().and_then(|code| code.parse().ok()).unwrap_or(0);
    // The low byte is the primary code, the rest says more about it.
    match code & 0xff {
        // SQLITE_ERROR covers many mistakes; a missing table or column has only its text.
        1 if ["no such table", "no such column", "has no column"]
            .iter()
            .any(|text| error.message().contains(text)) =>
        {
            Kind::Schema
        }
        // BUSY, LOCKED
        5 | 6 => Kind::Contention,
        // PERM, AUTH
        3 | 23 => Kind::Unauthorized,
        // READONLY
        8 => Kind::ReadOnly,
        // IOERR, CANTOPEN, PROTOCOL
        10 | 14 | 15 => Kind::Unavailable,
        // CORRUPT, FORMAT, NOTADB
        11 | 24 | 26 => Kind::Corrupt,
        // NOMEM, FULL
        7 | 13 => Kind::Full,
        // TOOBIG
        18 => Kind::TooLarge,
        // CONSTRAINT: primary key, unique and rowid clash; the others are bad values.
        19 if matches!(code, 1555 | 2067 | 2579) => Kind::Conflict,
        // CONSTRAINT, MISMATCH, RANGE
        19 | 20 | 25 => Kind::Invalid,
        // SCHEMA
        17 => Kind::Contention,
        _ => Kind::Other,
    }
}
