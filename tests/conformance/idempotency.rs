use bowline::idempotency::Memory;
use bowline::testkit::idempotency::all;

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    all(&Memory::new()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let (pool, _directory) = crate::pools::sqlite().await;
    let store = bowline::idempotency::Sqlite::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let pool = crate::pools::postgres("idempotency").await;
    let store = bowline::idempotency::Postgres::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    use bowline::idempotency::{Claim, Key, Redis, Store};

    let url = bowline_test_services::shared::redis().unwrap().url();
    let prefix = format!("{}:", uuid::Uuid::now_v7());
    let store = Redis::connect(&url).await.unwrap().with_prefix(prefix);
    all(&store).await;

    let day = std::time::Duration::from_secs(86_400);
    let other = store.clone().with_prefix(uuid::Uuid::now_v7().to_string());
    for store in [&store, &other] {
        for key in [Key::new("a:b", "c"), Key::new("a", "b:c")] {
            let claim = store.claim(&key, None, day).await.unwrap();
            assert!(matches!(claim, Claim::Acquired(_)), "{key}: {claim:?}");
        }
    }
}
