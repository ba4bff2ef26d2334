#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
use std::time::Duration;

use bowline::idempotency::Memory;
use bowline::testkit::idempotency::all;

/// Sweeping deletes what has expired, and nothing else.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
macro_rules! swept {
    ($store:ident) => {{
        use bowline::idempotency::{Claim, Key, Store};

        let (short, long) = (Duration::from_millis(1), Duration::from_secs(60));
        let [gone, kept] = ["gone", "kept"].map(|id| Key::new("sweep", id));
        $store.claim(&gone, None, short).await.unwrap();
        $store.claim(&kept, None, long).await.unwrap();
        tokio::time::sleep(20 * short).await;
        assert!($store.sweep().await.unwrap() >= 1);
        assert_eq!($store.sweep().await.unwrap(), 0);
        let claim = $store.claim(&kept, None, long).await.unwrap();
        assert!(matches!(claim, Claim::InProgress(_)), "{claim:?}");
    }};
}

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
    swept!(store);
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let pool = crate::pools::postgres("idempotency").await;
    let store = bowline::idempotency::Postgres::new(pool);
    store.migrate().await.unwrap();
    all(&store).await;
    swept!(store);
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    use bowline::idempotency::{Claim, Key, Redis, Store};

    let url = bowline_test_services::shared::redis().unwrap().url();
    let prefix = format!("{}:", uuid::Uuid::now_v7());
    let store = Redis::connect(&url).await.unwrap().with_prefix(prefix);
    all(&store).await;

    let day = Duration::from_secs(86_400);
    let other = store.clone().with_prefix(uuid::Uuid::now_v7().to_string());
    for store in [&store, &other] {
        for key in [Key::new("a:b", "c"), Key::new("a", "b:c")] {
            let claim = store.claim(&key, None, day).await.unwrap();
            assert!(matches!(claim, Claim::Acquired(_)), "{key}: {claim:?}");
        }
    }
}

/// A server that is away is an error, not a claim; once it is back, the store goes on.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn redis_comes_back() {
    use bowline::idempotency::{Claim, Key, Redis, Store};

    let server = bowline_test_services::Redis::start().unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    let minute = Duration::from_secs(60);
    server.kill().unwrap();
    let away = store.claim(&Key::new("suite", "1"), None, minute).await;
    assert!(
        away.as_ref().is_err_and(bowline::Error::is_transient),
        "{away:?}"
    );
    server.restart().unwrap();
    let began = tokio::time::Instant::now();
    let claim = loop {
        match store.claim(&Key::new("suite", "2"), None, minute).await {
            Ok(claim) => break claim,
            Err(error) if began.elapsed() > minute => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert!(matches!(claim, Claim::Acquired(_)), "{claim:?}");
}
