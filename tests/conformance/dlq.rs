use bowline::dlq::Memory;
use bowline::testkit::dlq::all;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    all(&Memory::new()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let (pool, _directory) = sqlite_pool().await;
    let store = bowline::dlq::Sqlite::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
}

#[cfg(feature = "sqlite")]
pub(crate) async fn sqlite_pool() -> (sqlx::SqlitePool, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(directory.path().join("test.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .busy_timeout(std::time::Duration::from_secs(10));
    (
        sqlx::SqlitePool::connect_with(options).await.unwrap(),
        directory,
    )
}
