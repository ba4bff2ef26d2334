//! A database for each test.

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite() -> (sqlx::SqlitePool, tempfile::TempDir) {
    sqlite_of(sqlx::sqlite::SqlitePoolOptions::new()).await
}

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite_of(
    pool: sqlx::sqlite::SqlitePoolOptions,
) -> (sqlx::SqlitePool, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .busy_timeout(std::time::Duration::from_secs(10));
    let pool = pool.connect_with(options).await.unwrap();
    (pool, directory)
}

#[cfg(feature = "postgres")]
pub(crate) async fn postgres(name: &str) -> sqlx::PgPool {
    postgres_of(sqlx::postgres::PgPoolOptions::new(), name).await
}

#[cfg(feature = "postgres")]
pub(crate) async fn postgres_of(pool: sqlx::postgres::PgPoolOptions, name: &str) -> sqlx::PgPool {
    let server = bowline_test_services::shared::postgres().unwrap();
    let url = server.create_database(name).unwrap();
    pool.connect(&url).await.unwrap()
}
