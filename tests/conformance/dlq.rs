use bowline::dlq::Memory;
use bowline::testkit::dlq::all;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    all(&Memory::new()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let (pool, _directory) = crate::pools::sqlite().await;
    let store = bowline::dlq::Sqlite::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let store = bowline::dlq::Postgres::new(crate::pools::postgres("dlq").await);
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    all(&store).await;
}
