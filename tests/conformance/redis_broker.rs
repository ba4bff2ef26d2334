use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bowline::broker::{Redis, RedisSubscriber};
use bowline::testkit::broker::Harness;
use bowline_test_services::shared;

/// The Redis server of this process, connected to several times, as if by several processes.
pub(crate) struct InRedis {
    handles: [Redis; 3],
    next: AtomicUsize,
}

impl InRedis {
    pub(crate) async fn new() -> Self {
        let server = tokio::task::spawn_blocking(shared::redis).await;
        let url = server.expect("no panic").expect("a server").url();
        let connect = || async { Redis::connect(&url).await.expect("a server") };
        Self {
            handles: [connect().await, connect().await, connect().await],
            next: AtomicUsize::new(0),
        }
    }

    fn handle(&self) -> Redis {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles[next % self.handles.len()].clone()
    }
}

impl Harness for InRedis {
    type Publisher = Redis;
    type Subscriber = RedisSubscriber;
    type Topics = Redis;

    fn publisher(&self) -> Redis {
        self.handle()
    }

    fn subscriber(&self) -> RedisSubscriber {
        self.handle().subscriber()
    }

    fn impatient_subscriber(&self) -> RedisSubscriber {
        self.handle()
            .with_session_timeout(Duration::from_secs(1))
            .subscriber()
    }

    fn topics(&self) -> Redis {
        self.handle()
    }
}

bowline::broker_conformance!(broker, InRedis::new().await);
