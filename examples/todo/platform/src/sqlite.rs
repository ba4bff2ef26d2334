//! SQLite files of the single-process system.

use std::path::Path;
use std::time::Duration;

use bowline::error::{Error, Kind};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// Opens, or makes, the file `path`.
///
/// # Errors
///
/// What is wrong with the file, and its path.
pub async fn open(path: &Path) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With FULL a committed transaction outlives a power cut, not only a crash.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(10));
    SqlitePoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await
        .map_err(|source| {
            Error::new(Kind::Unavailable, "sqlite", "open")
                .with_detail(format!("{} cannot be opened or written", path.display()))
                .with_source(source)
        })
}
