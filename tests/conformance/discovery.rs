use bowline::discovery::Memory;
use bowline::testkit::discovery::all;

#[tokio::test(start_paused = true)]
async fn memory() {
    let registry = Memory::new();
    all(registry.clone(), async || registry.clear()).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis() {
    // The suite empties its server, so it has one of its own.
    let server = bowline_test_services::Redis::start().expect("a server");
    let url = server.url();
    let client = redis::Client::open(url.as_str()).expect("a URL");
    let connection = client.get_multiplexed_async_connection().await;
    let connection = connection.expect("a server");
    let registry = bowline::discovery::Redis::connect(&url).await;
    all(registry.expect("a server"), async || {
        let mut connection = connection.clone();
        let flushed = redis::cmd("FLUSHALL").exec_async(&mut connection).await;
        flushed.expect("flushed");
    })
    .await;
}
