//! Exactly once from PostgreSQL into Kafka, as who reads what is committed sees it.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::kafka::{Config, Publisher, Subscriber, Topics, Transactions};
use bowline::broker::{
    self, Polled, Start, Subscriber as _, TopicPartition, Topics as _, Transactions as _,
};
use bowline::error::Kind;
use bowline::message::Message;
use bowline::outbox::relay::{self, Builder, Delivery, ExactlyOnce};
use bowline::outbox::{self, Relay, Routing, Store};
use bowline::shutdown::Shutdown;
use bowline::testkit::faults::{Fault, Faults};
use bowline_test_services::{Kafka, shared};
use fastrand::Rng;
use sqlx::PgPool;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

const SEEDS: u64 = 12;
const ROWS: u32 = 60;
const KEYS: u32 = 3;
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
const LOOK: Duration = Duration::from_millis(20);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An outbox in a new database, whose rows go to a topic of its own.
#[derive(Clone)]
struct World {
    config: Config,
    pool: PgPool,
    store: outbox::Postgres,
    topic: Arc<str>,
}

impl World {
    async fn new(broker: &str) -> Self {
        let name = format!("eos-{}", uuid::Uuid::now_v7().simple());
        let mut config = Config::new(broker).with_message_timeout(Duration::from_secs(10));
        config.max_record = 2_000;
        let topics = Topics::new(&config).unwrap();
        topics.create(&name, NonZeroU32::MIN).await.unwrap();
        let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
        let url = server.create_database(&name).unwrap();
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(4);
        let pool = pool.connect(&url).await.unwrap();
        let topic: Arc<str> = name.into();
        // What has no topic of its own goes to one that is not there at first.
        let (here, late) = (Arc::clone(&topic), late(&topic));
        let routing = Routing::by(move |message: &Message| match message.kind() {
            "here.event" => Some(Arc::clone(&here)),
            _ => Some(Arc::clone(&late)),
        });
        let store = outbox::Postgres::new(pool.clone()).with_routing(routing);
        store.migrate().await.unwrap();
        Self {
            config,
            pool,
            store,
            topic,
        }
    }

    async fn enqueue(&self, kind: &'static str, numbers: std::ops::Range<u32>) {
        let mut tx = self.store.begin().await.unwrap();
        for number in numbers {
            let message = Message::new(kind, number.to_string());
            let message = message.with_key((number % KEYS).to_string());
            self.store.enqueue(&mut tx, &message).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// A row that Kafka does not take.
    async fn large(&self) {
        let mut tx = self.store.begin().await.unwrap();
        let message = Message::new("here.event", vec![b'x'; 4_000]).with_key("0");
        self.store.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn exactly_once(&self) -> ExactlyOnce<Transactions> {
        let transactions = Transactions::new(&self.config).unwrap();
        ExactlyOnce::new(transactions, &*self.topic, self.place())
    }

    fn place(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.topic), 0)
    }

    /// Relays until nothing is pending, and does away with what was parked.
    async fn drain<S: Store, D: Delivery>(&self, store: S, delivery: D) {
        let shutdown = Shutdown::new();
        let relay = configured(store, delivery).build().unwrap();
        let drained = async {
            loop {
                for parked in self.store.parked(MANY).await.unwrap() {
                    self.store.discard(parked.entry.id).await.unwrap();
                }
                if self.store.status().await.unwrap().pending == 0 {
                    break;
                }
                sleep(LOOK).await;
            }
            shutdown.trigger();
        };
        let both = async { tokio::join!(relay.run(shutdown.token()), drained) };
        let (relayed, ()) = timeout(PATIENCE, both).await.expect("all is published");
        relayed.expect("it ends only when told to");
    }

    /// What is seen in `topic`: `count` records, and no more.
    async fn check(&self, topic: &Arc<str>, count: u32, case: &str) {
        let mut subscriber = Subscriber::new(&self.config).unwrap();
        let group = format!("check-{}", uuid::Uuid::now_v7().simple());
        let topics = [Arc::clone(topic)];
        let joined = subscriber.subscribe(&group, &topics, Start::Earliest);
        joined.await.unwrap();
        let mut seen: Vec<u32> = Vec::new();
        let mut patience = PATIENCE;
        while let Ok(polled) = timeout(patience, subscriber.poll(MANY)).await {
            if let Polled::Records(records) = polled.unwrap() {
                seen.extend(records.iter().map(|received| {
                    let payload = received.record.payload.as_deref().unwrap();
                    std::str::from_utf8(payload)
                        .unwrap()
                        .parse::<u32>()
                        .unwrap()
                }));
            }
            if seen.len() >= usize::try_from(count).unwrap() {
                // Is there anything behind it?
                patience = Duration::from_millis(500);
            }
        }
        subscriber.close().await.unwrap();
        for key in 0..KEYS {
            let of_key = seen.iter().filter(|number| *number % KEYS == key);
            assert!(of_key.is_sorted(), "{case}: {seen:?}");
        }
        let distinct: BTreeSet<_> = seen.iter().copied().collect();
        assert_eq!(distinct, (0..count).collect(), "{case}");
        assert_eq!(seen.len(), distinct.len(), "{case}: {seen:?}");
    }
}

fn late(topic: &Arc<str>) -> Arc<str> {
    format!("{topic}-late").into()
}

fn configured<S: Store, D: Delivery>(store: S, delivery: D) -> Builder<S, D> {
    Relay::builder(store, delivery)
        .window(NonZeroUsize::new(10).unwrap())
        .lease(relay::Config::LEASE_MIN)
        .poll(LOOK)
        .backoff(Backoff::constant(LOOK))
}

async fn broker() -> &'static Kafka {
    spawn_blocking(shared::kafka).await.unwrap().unwrap()
}

/// A relay that lives several times, with faults between the store, the broker and itself; among the rows
/// are one that is parked and some for a topic that is not there yet.
async fn live(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let world = World::new(broker().await.address()).await;
    world.enqueue("here.event", 0..ROWS / 2).await;
    world.enqueue("late.event", 0..ROWS / 2).await;
    world.large().await;
    world.enqueue("here.event", ROWS / 2..ROWS).await;
    world.enqueue("late.event", ROWS / 2..ROWS).await;
    for life in 0..4 {
        let fault = random.choice([Fault::Fail, Fault::Drop, Fault::Hang, Fault::Hang]);
        let faults = Faults::at(random.u64(5..40), fault.unwrap());
        let delivery = ExactlyOnce::new(
            faults.wrap(Transactions::new(&world.config).unwrap()),
            &*world.topic,
            world.place(),
        );
        let relay = configured(faults.wrap(world.store.clone()), delivery);
        let relay = relay.build().unwrap();
        let killed = async {
            if fault == Some(Fault::Hang) {
                faults.struck().await;
            } else {
                sleep(Duration::from_secs(4).mul_f64(random.f64())).await;
            }
        };
        let shutdown = Shutdown::new();
        tokio::select! {
            ended = relay.run(shutdown.token()) => ended.expect("it is not told to end"),
            () = killed => {}
            // There is nothing left to do.
            () = sleep(Duration::from_secs(5)) => {}
        }
        if life == 1 {
            let topics = Topics::new(&world.config).unwrap();
            let created = topics.create(&late(&world.topic), NonZeroU32::MIN).await;
            created.unwrap();
        }
    }
    world.drain(world.store.clone(), world.exactly_once()).await;
    let case = format!("seed {seed}");
    world.check(&world.topic, ROWS, &case).await;
    world.check(&late(&world.topic), ROWS, &case).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_seen_once_in_kafka_whenever_a_relay_dies() {
    let (from, to) = match std::env::var("BOWLINE_SEED") {
        Ok(seed) => (seed.parse().unwrap(), seed.parse::<u64>().unwrap() + 1),
        Err(_) => (0, SEEDS),
    };
    let mut seeds = from..to;
    let mut running = JoinSet::new();
    for seed in seeds.by_ref().take(6) {
        running.spawn(live(seed));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
        if let Some(seed) = seeds.next() {
            running.spawn(live(seed));
        }
    }
}

/// The store does not hear of what Kafka has committed: the position in Kafka is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_between_kafkas_commit_and_the_settle_doubles_nothing() {
    for fault in [Fault::Fail, Fault::Hang] {
        let world = World::new(broker().await.address()).await;
        world.enqueue("here.event", 0..1).await;
        world.drain(world.store.clone(), world.exactly_once()).await;
        world.large().await;
        world.enqueue("here.event", 1..10).await;
        // Each call is a step before and a step after: connect, position, a transaction that the large
        // record fails, and the one with the others.
        let faults = Faults::at(8, fault);
        let transactions = Transactions::new(&world.config).unwrap();
        let delivery = ExactlyOnce::new(faults.wrap(transactions), &*world.topic, world.place());
        let relay = configured(world.store.clone(), delivery).window(MANY);
        let relay = relay.build().unwrap();
        let failed = tokio::select! {
            biased;
            ran = relay.run_once() => ran.is_err(),
            () = faults.struck() => true,
        };
        assert!(failed);
        let status = world.store.status().await.unwrap();
        assert_eq!(status.pending, 10, "not settled");
        let transactions = Transactions::new(&world.config).unwrap();
        let mut producer = transactions.connect(&world.topic).await.unwrap();
        let place = world.place();
        let found = broker::Transactional::position(&mut producer, &world.topic, &place).await;
        let found = found.unwrap().expect("a position");
        assert_eq!(found.next, status.epoch, "{fault:?}: Kafka has it");
        world.drain(world.store.clone(), world.exactly_once()).await;
        world.check(&world.topic, 10, &format!("{fault:?}")).await;
    }
}

/// As a process that was stopped past its lease, and does not know it when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_wakes_up_after_its_lease_publishes_nothing_more() {
    let world = World::new(broker().await.address()).await;
    world.enqueue("here.event", 0..ROWS).await;
    // Connect and position, before and after, and then the first window.
    let faults = Faults::at(7, Fault::Delay(Duration::from_millis(1)));
    let delivery = ExactlyOnce::new(
        faults.wrap(Transactions::new(&world.config).unwrap()),
        &*world.topic,
        world.place(),
    );
    let shutdown = Shutdown::new();
    let zombie = configured(world.store.clone(), delivery).build().unwrap();
    let mut zombie = pin!(zombie.run(shutdown.token()));
    tokio::select! {
        ended = &mut zombie => panic!("it ends only when told to: {ended:?}"),
        () = faults.struck() => {}
    }
    // Nobody polls it meanwhile.
    world.drain(world.store.clone(), world.exactly_once()).await;
    drop(timeout(Duration::from_secs(3), &mut zombie).await);
    assert!(faults.steps() > 7, "it went on");
    shutdown.trigger();
    zombie.await.unwrap();
    world.check(&world.topic, ROWS, "zombie").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_that_goes_from_one_kind_of_relay_to_the_other_and_back_doubles_nothing() {
    let world = World::new(broker().await.address()).await;
    for turn in 0..4 {
        world.enqueue("here.event", turn * 15..turn * 15 + 15).await;
        if turn % 2 == 0 {
            let publisher = Publisher::new(&world.config).unwrap();
            world.drain(world.store.clone(), publisher).await;
        } else {
            world.drain(world.store.clone(), world.exactly_once()).await;
        }
    }
    world.check(&world.topic, ROWS, "adopted").await;
}

/// What became of a commit that was not answered is told by the position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_restarted_in_the_middle_of_windows_doubles_nothing() {
    const ROWS: u32 = 3_000;
    let kafka = spawn_blocking(Kafka::start).await.unwrap().unwrap();
    let kafka = Arc::new(kafka);
    let world = World::new(kafka.address()).await;
    for from in (0..ROWS).step_by(100) {
        world.enqueue("here.event", from..from + 100).await;
    }
    let drained = {
        let world = world.clone();
        async move { world.drain(world.store.clone(), world.exactly_once()).await }
    };
    let drained = tokio::spawn(drained);
    for _ in 0..2 {
        sleep(Duration::from_millis(300)).await;
        assert!(!drained.is_finished(), "the outage came too late");
        let kafka = Arc::clone(&kafka);
        let restarted = spawn_blocking(move || kafka.restart()).await.unwrap();
        restarted.unwrap();
    }
    drained.await.unwrap();
    world.check(&world.topic, ROWS, "restarted").await;
}

/// Of a database that came back from a backup Kafka's position says nothing: the numbers of its newest
/// transactions are given again, and their rows would be passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_back_is_refused() {
    let world = World::new(broker().await.address()).await;
    world.enqueue("here.event", 0..1).await;
    world.drain(world.store.clone(), world.exactly_once()).await;
    let backup = "SELECT position, settled_epoch FROM bowline_outbox_position \
        ORDER BY number DESC LIMIT 1";
    let (position, epoch): (String, i64) =
        sqlx::query_as(backup).fetch_one(&world.pool).await.unwrap();
    for number in 1..4 {
        world.enqueue("here.event", number..number + 1).await;
        world.drain(world.store.clone(), world.exactly_once()).await;
    }
    let restore = "INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch) \
        VALUES (0, $1, $1, $2)";
    let restore = sqlx::query(restore).bind(position).bind(epoch);
    restore.execute(&world.pool).await.unwrap();
    let relay = configured(world.store.clone(), world.exactly_once());
    let relay = relay.build().unwrap().run(Shutdown::new().token());
    let error = timeout(PATIENCE, relay)
        .await
        .expect("it ends")
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error:?}");
    world.check(&world.topic, 4, "set back").await;
}

/// A position without a place would be lost: the relay says so instead of publishing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_not_there_ends_the_relay() {
    let world = World::new(broker().await.address()).await;
    world.enqueue("here.event", 0..1).await;
    let transactions = Transactions::new(&world.config).unwrap();
    let nowhere = TopicPartition::new(late(&world.topic), 0);
    let delivery = ExactlyOnce::new(transactions, &*world.topic, nowhere);
    let relay = configured(world.store.clone(), delivery).build().unwrap();
    let ended = timeout(PATIENCE, relay.run(Shutdown::new().token())).await;
    let error = ended.expect("it ends").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error:?}");
    world.drain(world.store.clone(), world.exactly_once()).await;
    world.check(&world.topic, 1, "nowhere").await;
}
