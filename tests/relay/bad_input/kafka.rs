use bowline::broker::Subscriber as _;
use bowline::broker::kafka::{Config, Publisher, Subscriber, Topics};
use bowline_test_services::shared;
use sqlx::PgPool;
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

/// An outbox whose relay publishes to a real broker, which creates no topic by itself.
struct World {
    config: Config,
    store: outbox::Postgres,
    topic: String,
    shutdown: Shutdown,
    relay: JoinHandle<Result<(), Error>>,
}

impl World {
    /// Messages of the type `late.event` go to a topic that is not there.
    async fn new(max_record: u64) -> Self {
        let broker = spawn_blocking(shared::kafka).await.unwrap().unwrap();
        let topic = format!("bad-{}", uuid::Uuid::now_v7().simple());
        // Compressed, what is large would be small.
        let mut config = Config::new(broker.address()).with_property("compression.type", "none");
        config.max_record = max_record;
        let topics = Topics::new(&config).unwrap();
        topics.create(&topic, NonZeroU32::MIN).await.unwrap();
        let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
        let url = server.create_database("bad_kafka").unwrap();
        let (here, late) = (Arc::from(&*topic), Arc::from(format!("{topic}-late")));
        let routing = Routing::by(move |message: &Message| match message.kind() {
            "late.event" => Some(Arc::clone(&late)),
            _ => Some(Arc::clone(&here)),
        });
        let store = outbox::Postgres::new(PgPool::connect(&url).await.unwrap());
        let store = store.with_routing(routing);
        store.migrate().await.unwrap();
        let publisher = Publisher::new(&config).unwrap();
        let relay = Relay::builder(store.clone(), publisher).build().unwrap();
        let shutdown = Shutdown::new();
        let relay = tokio::spawn(relay.run(shutdown.token()));
        Self {
            config,
            store,
            topic,
            shutdown,
            relay,
        }
    }

    async fn enqueue(&self, messages: &[Message]) {
        let mut tx = self.store.begin().await.unwrap();
        self.store.enqueue_many(&mut tx, messages).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What is in `topic`: so many, and no more.
    async fn published(&self, topic: &str, count: usize) -> Vec<String> {
        let mut subscriber = Subscriber::new(&self.config).unwrap();
        let found = payloads(&mut subscriber, topic, count, Duration::from_millis(500)).await;
        subscriber.close().await.unwrap();
        found
    }

    async fn finish(self) {
        self.shutdown.trigger();
        self.relay.await.unwrap().unwrap();
    }
}

/// By our own limit, and by the broker's alone: which of them it was is in the reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_too_large_is_parked_and_others_go_on() {
    for (limit, size, detail) in [
        (2_000, 4_000, "bytes, allowed: up to 2000"),
        (8 << 20, 4 << 20, "Message size too large"),
    ] {
        let world = World::new(limit).await;
        let large = Message::new("large.event", vec![b'x'; size]).with_key("1");
        let messages = [
            order("1", "one"),
            large,
            order("2", "other"),
            order("1", "behind"),
        ];
        world.enqueue(&messages).await;
        let found = world.published(&world.topic, 2).await;
        assert_eq!(found, ["one", "other"], "{detail}");
        until_left(&world.store, 1).await;
        let parked = is_parked_alone_because(&world.store, detail).await;
        assert!(parked.reason.contains("kafka publish: too large"));
        world.store.discard(parked.entry.id).await.unwrap();
        until_left(&world.store, 0).await;
        let found = world.published(&world.topic, 3).await;
        assert_eq!(found, ["one", "other", "behind"], "{detail}");
        world.finish().await;
    }
}

/// What waits for it is not parked: with the topic it goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_kafka_does_not_have_keeps_its_own_rows_waiting() {
    let world = World::new(Config::MAX_RECORD).await;
    let late = |payload| Message::new("late.event", payload).with_key("1");
    let messages = [late("1"), order("1", "one"), late("2"), order("2", "two")];
    world.enqueue(&messages).await;
    assert_eq!(world.published(&world.topic, 2).await, ["one", "two"]);
    until_left(&world.store, 2).await;
    let status = world.store.status().await.unwrap();
    assert_eq!((status.aside, status.parked), (2, 0));
    let topics = Topics::new(&world.config).unwrap();
    let missing = format!("{}-late", world.topic);
    topics.create(&missing, NonZeroU32::MIN).await.unwrap();
    until_left(&world.store, 0).await;
    assert_eq!(world.published(&missing, 2).await, ["1", "2"]);
    world.finish().await;
}
