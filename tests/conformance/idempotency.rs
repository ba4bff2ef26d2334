use bowline::idempotency::Memory;
use bowline::testkit::idempotency::all;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    all(&Memory::new()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let (pool, _directory) = crate::dlq::sqlite_pool().await;
    let store = bowline::idempotency::Sqlite::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
}
