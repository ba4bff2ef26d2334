//! When writers tell the relay of what they commit, and when it finds out by itself.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Appended, Memory, PublishError, Publisher, Record, Topics as _};
use bowline::error::{Error, Kind};
use bowline::message::Message;
use bowline::outbox::{self, Lease, Relay, Store as _};
use bowline::shutdown::Shutdown;
use bowline_test_services::shared;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

const TOPIC: &str = "events";
/// How long anything may take on a busy machine, and less than a relay here lies between two looks.
const PATIENCE: Duration = Duration::from_secs(60);
const RARELY: Duration = Duration::from_secs(600);

async fn outbox(name: &'static str) -> (PgPool, outbox::Postgres) {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    let url = server.create_database(name).unwrap();
    let pool = PgPool::connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    store.migrate().await.unwrap();
    (pool, store)
}

async fn sleeps(pool: &PgPool) -> bool {
    let sleeps = "SELECT coalesce(bool_or(sleeps), FALSE) FROM bowline_outbox_relay";
    let sleeps = sqlx::query_scalar(sleeps);
    sleeps.fetch_one(pool).await.unwrap()
}

async fn fallen_asleep(pool: &PgPool) {
    let asleep = async {
        while !sleeps(pool).await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, asleep).await.expect("the relay rests");
}

async fn enqueue(store: &outbox::Postgres) {
    let mut tx = store.begin().await.unwrap();
    let message = Message::new("suite.event", "{}");
    store.enqueue(&mut tx, &message).await.unwrap();
    tx.commit().await.unwrap();
}

/// A broker, and what the outbox said of the relay whenever something was published.
#[derive(Debug, Clone)]
struct Broker {
    inner: Memory,
    pool: PgPool,
    said: Arc<Mutex<Vec<bool>>>,
}

impl Broker {
    async fn new(pool: &PgPool) -> Self {
        let inner = Memory::new();
        inner.create(TOPIC, NonZeroU32::MIN).await.unwrap();
        let (pool, said) = (pool.clone(), Arc::default());
        Self { inner, pool, said }
    }

    fn said(&self) -> Vec<bool> {
        self.said.lock().unwrap().clone()
    }

    async fn has(&self, count: usize) {
        let published = async {
            while self.said().len() < count {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let published = timeout(PATIENCE, published).await;
        published.expect("the relay was told");
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let sleeps = sleeps(&self.pool).await;
        let count = batch.len();
        let results = self.inner.publish(batch).await;
        let mut said = self.said.lock().unwrap();
        said.extend(std::iter::repeat_n(sleeps, count));
        results
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

fn start(
    store: &outbox::Postgres,
    broker: &Broker,
    poll: Duration,
) -> (Shutdown, JoinHandle<Result<(), Error>>) {
    let relay = Relay::builder(store.clone(), broker.clone())
        .window(NonZeroUsize::MIN)
        .lease(2 * RARELY)
        .poll(poll);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    (shutdown, relay)
}

/// What was said over the channel until now.
async fn notified(listener: &mut PgListener, pool: &PgPool) -> usize {
    let end = sqlx::query("SELECT pg_notify('bowline_outbox', 'end')");
    end.execute(pool).await.unwrap();
    let mut count = 0;
    while listener.recv().await.unwrap().payload() != "end" {
        count += 1;
    }
    count
}

/// A notification makes writers commit one after the other: there is none while the relay looks by itself,
/// and none when nobody asked for it.
#[tokio::test]
async fn writers_notify_only_a_relay_that_sleeps() {
    let (pool, store) = outbox("sleep_notify").await;
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen("bowline_outbox").await.unwrap();
    let lease = store.lease("test", RARELY).await.unwrap().unwrap();
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 0, "nobody relays");
    store.idle(&lease).await.unwrap();
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 1);
    let mut tx = store.begin().await.unwrap();
    let two = [Message::new("a.b", "{}"), Message::new("a.b", "{}")];
    store.enqueue_many(&mut tx, &two).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(notified(&mut listener, &pool).await, 1, "once for all");
    enqueue(&store.clone().without_notify()).await;
    assert_eq!(notified(&mut listener, &pool).await, 0);
    store.busy(&lease).await.unwrap();
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 0);
}

/// A lane that is there no more, or that nobody relays any more, is not to be told.
#[tokio::test]
async fn writers_notify_nobody_who_is_gone() {
    let (pool, store) = outbox("sleep_gone").await;
    let mut listener = PgListener::connect_with(&pool).await.unwrap();
    listener.listen("bowline_outbox").await.unwrap();
    let first = store.lease("first", RARELY).await.unwrap().unwrap();
    let mut lanes = vec![(store.clone(), first.clone())];
    change(&lanes, 3).await;
    for lane in [1, 2] {
        let lane = store.lane(lane);
        let lease = lane.lease("other", RARELY).await.unwrap().unwrap();
        lane.idle(&lease).await.unwrap();
        lanes.push((lane, lease));
    }
    notified(&mut listener, &pool).await;
    change(&lanes, 1).await;
    notified(&mut listener, &pool).await;
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 0, "nobody sleeps");

    store.idle(&first).await.unwrap();
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 1);
    store.release(&first).await.unwrap();
    enqueue(&store).await;
    assert_eq!(notified(&mut listener, &pool).await, 0, "it has gone");
}

/// Lets relays that sleep come to another number of lanes.
async fn change(lanes: &[(outbox::Postgres, Lease)], wanted: u32) {
    let wanted = NonZeroU32::new(wanted).unwrap();
    let whole = &lanes[0].0;
    whole.set_lanes(wanted).await.unwrap();
    while whole.lanes().await.unwrap() != wanted {
        for (store, lease) in lanes {
            let read = store.read(lease, None, NonZeroUsize::MIN).await;
            assert!(read.is_ok_and(|window| window.entries.is_empty()));
        }
    }
}

/// A relay that was stopped for long does not say for the one that relays now that it sleeps.
#[tokio::test]
async fn a_lost_lease_says_nothing() {
    let (pool, store) = outbox("sleep_fenced").await;
    let lease = store.lease("test", RARELY).await.unwrap().unwrap();
    let late = Lease::new("test", lease.epoch - 1);
    let said = store.idle(&late).await;
    assert_eq!(said.expect_err("fenced").kind(), Kind::Fenced);
    assert!(!sleeps(&pool).await);
}

/// The relay says that it sleeps, is told of what comes, and takes it back when there is more to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_sleeps_is_told() {
    let (pool, store) = outbox("sleep_relay").await;
    let broker = Broker::new(&pool).await;
    let (shutdown, relay) = start(&store, &broker, RARELY);
    for count in 1..=3 {
        fallen_asleep(&pool).await;
        enqueue(&store).await;
        broker.has(count).await;
    }
    fallen_asleep(&pool).await;
    let mut tx = store.begin().await.unwrap();
    let many = vec![Message::new("a.b", "{}"); 20];
    store.enqueue_many(&mut tx, &many).await.unwrap();
    tx.commit().await.unwrap();
    broker.has(23).await;
    assert!(broker.said()[6..].iter().all(|sleeps| !sleeps));
    fallen_asleep(&pool).await;
    enqueue(&store).await;
    broker.has(24).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// What was written before the relay slept and committed after it tells nobody: it is found by polling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_before_the_relay_slept_is_found_by_polling() {
    let (pool, store) = outbox("sleep_poll").await;
    let broker = Broker::new(&pool).await;
    let mut tx = store.begin().await.unwrap();
    let message = Message::new("suite.event", "{}");
    store.enqueue(&mut tx, &message).await.unwrap();
    let (shutdown, relay) = start(&store, &broker, Duration::from_millis(50));
    fallen_asleep(&pool).await;
    tx.commit().await.unwrap();
    broker.has(1).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// A caller in the relay's process needs no notification.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hint_wakes_a_relay_of_the_same_process() {
    let (pool, store) = outbox("sleep_hint").await;
    let store = store.without_notify();
    let broker = Broker::new(&pool).await;
    let (shutdown, relay) = start(&store, &broker, RARELY);
    for count in 1..=3 {
        fallen_asleep(&pool).await;
        enqueue(&store).await;
        store.wake();
        broker.has(count).await;
    }
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}
