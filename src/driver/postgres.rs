//! PostgreSQL through `sqlx`.

use sqlx::error::DatabaseError;
use sqlx::{PgPool, Postgres, Transaction};

use super::{Schema, sql};
use crate::error::{Error, Kind};

/// The name of this back-end in errors.
pub(crate) const BACKEND: &str = "postgres";

/// The advisory lock under which all migrations run, so that several processes may start at once.
const MIGRATION_LOCK: i64 = 0x62_6f_77_6c_69_6e_65;

/// The table of the versions.
const SCHEMA_TABLE: &str = "CREATE TABLE IF NOT EXISTS bowline_schema \
    (module text PRIMARY KEY, version bigint NOT NULL)";

/// Turns a driver error into ours, for `map_err`.
pub(crate) fn error(operation: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |source| {
        Error::new(sql::kind(&source, database_kind), BACKEND, operation)
            .with_source(sql::cause(source))
    }
}

/// Begins a transaction; may be given up at any moment.
///
/// sqlx 0.9.0 hands a connection whose `BEGIN` was given up on its way to the next borrower, whose
/// statements then stand in a transaction that nobody ends (transact-rs/sqlx#4393). In a task of its
/// own it is not given up; a transaction that nobody takes is rolled back.
pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    begun.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// As [`begin`], by the statements in `begin`, of which the first begins the transaction.
pub(crate) async fn begin_with(
    pool: &PgPool,
    begin: String,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(sqlx::AssertSqlSafe(begin)).await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Brings the tables of `schema` to this build's version, in one transaction.
pub(crate) async fn migrate(pool: &PgPool, schema: &Schema) -> Result<(), Error> {
    let error = error("migrate");
    let mut tx = begin(pool).await.map_err(&error)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *tx)
        .await
        .map_err(&error)?;
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

/// The kind of an SQLSTATE; see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn database_kind(error: &dyn DatabaseError) -> Kind {
    let code = error.code();
    let code = code.as_deref().unwrap_or("");
    match code {
        "23505" | "23P01" => Kind::Conflict,
        "25006" => Kind::ReadOnly,
        "40001" | "40P01" | "55P03" => Kind::Contention,
        "42501" => Kind::Unauthorized,
        "42P01" | "42703" | "3F000" | "42883" | "42P02" => Kind::Schema,
        "53100" | "53200" => Kind::Full,
        "25P03" | "53300" | "57P01" | "57P02" | "57P03" => Kind::Unavailable,
        "54000" | "22001" => Kind::TooLarge,
        "57014" => Kind::Timeout,
        _ => match code.get(..2).unwrap_or("") {
            "08" => Kind::Unavailable,
            "22" | "23" => Kind::Invalid,
            "28" => Kind::Unauthorized,
            "3D" => Kind::NotFound,
            "53" => Kind::Full,
            "XX" => Kind::Corrupt,
            _ => Kind::Other,
        },
    }
}
