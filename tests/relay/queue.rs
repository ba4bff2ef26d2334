//! The outbox in PostgreSQL as a queue.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::{Appended, Memory, PublishError, Publisher, Record, Topics as _};
use bowline::error::Kind;
use bowline::message::Message;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, PostgresQueue, Relay, Settled, Store as _};
use bowline::shutdown::Shutdown;
use bowline_test_services::{PgBouncer, shared};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

const TOPIC: &str = "events";
const ROWS: u32 = 40;
const WINDOW: NonZeroUsize = NonZeroUsize::new(5).unwrap();
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
const LONG: Duration = Duration::from_secs(600);
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn database(name: &'static str) -> String {
    let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
    server.create_database(name).unwrap()
}

/// The queue at `url`, by connections of its own.
async fn queue(url: &str) -> (PgPool, PostgresQueue) {
    let pool = PgPoolOptions::new().max_connections(2);
    let pool = pool.connect(url).await.unwrap();
    let queue = outbox::Postgres::new(pool.clone())
        .with_topic(TOPIC)
        .queue();
    queue.migrate().await.unwrap();
    (pool, queue)
}

async fn fill(queue: &PostgresQueue, rows: u32) {
    let mut tx = queue.begin().await.unwrap();
    for number in 0..rows {
        let message = Message::new("suite.event", number.to_string()).with_key("same");
        queue.enqueue(&mut tx, &message).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// A broker that counts what it takes.
#[derive(Debug, Clone)]
struct Broker {
    inner: Memory,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
    /// So many batches have to be on their way at once.
    together: Arc<Barrier>,
    delay: Duration,
}

impl Broker {
    async fn new(together: usize, delay: Duration) -> Self {
        let inner = Memory::new();
        inner.create(TOPIC, NonZeroU32::MIN).await.unwrap();
        Self {
            inner,
            taken: Arc::default(),
            together: Arc::new(Barrier::new(together)),
            delay,
        }
    }

    fn taken_once(&self) -> u32 {
        let taken = self.taken.lock().unwrap();
        let copies: Vec<_> = taken.iter().filter(|(_, count)| **count > 1).collect();
        assert!(copies.is_empty(), "{copies:?}");
        u32::try_from(taken.len()).unwrap()
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        self.together.wait().await;
        sleep(self.delay).await;
        for record in &batch {
            let name = String::from_utf8(record.payload.clone().unwrap().to_vec());
            *self.taken.lock().unwrap().entry(name.unwrap()).or_default() += 1;
        }
        self.inner.publish(batch).await
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

/// Relays until nothing is pending, by so many relays.
async fn drain(url: &str, broker: &Broker, relays: usize) {
    let (shutdown, mut running) = (Shutdown::new(), JoinSet::new());
    for _ in 0..relays {
        let relay = Relay::builder(queue(url).await.1, broker.clone())
            .window(WINDOW)
            .lease(Config::LEASE_MIN)
            .poll(Duration::from_millis(5))
            .build();
        running.spawn(relay.unwrap().run(shutdown.token()));
    }
    let (_pool, queue) = queue(url).await;
    let drained = async {
        while queue.status().await.unwrap().pending > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("they go on");
    shutdown.trigger();
    for ended in running.join_all().await {
        ended.unwrap();
    }
}

/// Were one to wait for the other, no batch would ever be published.
#[tokio::test]
async fn relays_publish_side_by_side_and_nothing_twice() {
    let url = database("queue_side_by_side").await;
    fill(&queue(&url).await.1, ROWS).await;
    let broker = Broker::new(2, Duration::ZERO).await;
    drain(&url, &broker, 2).await;
    assert_eq!(broker.taken_once(), ROWS);
}

/// As long as its lease is renewed, a relay keeps its rows, however slow the broker is.
#[tokio::test]
async fn a_broker_that_outlasts_the_lease_is_waited_for() {
    let url = database("queue_slow").await;
    let rows = u32::try_from(WINDOW.get()).unwrap();
    fill(&queue(&url).await.1, rows).await;
    let broker = Broker::new(1, Config::LEASE_MIN * 5 / 2).await;
    drain(&url, &broker, 2).await;
    assert_eq!(broker.taken_once(), rows);
}

/// Its connections end with it, and with them its transaction; nobody waits for its lease.
#[tokio::test]
async fn a_relay_that_crashes_gives_its_rows_back_at_once() {
    let url = database("queue_crash").await;
    let (_pool, other) = queue(&url).await;
    fill(&other, ROWS).await;
    let (pool, crashes) = queue(&url).await;
    let lease = crashes.lease("crashes", LONG).await.unwrap().unwrap();
    let window = crashes.read(&lease, None, MANY).await.unwrap();
    assert_eq!(window.entries.len(), 40);
    let lease = other.lease("other", LONG).await.unwrap().unwrap();
    let nothing = other.read(&lease, None, MANY).await.unwrap();
    assert_eq!(nothing.entries, []);
    drop((crashes, pool));
    let back = async {
        while other.read(&lease, None, MANY).await.unwrap().entries != window.entries {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("they are back");
}

/// The server ends the transaction of a relay that says nothing for as long as its lease; what that relay then
/// does changes nothing, and it starts again.
#[tokio::test]
async fn a_relay_that_stands_still_loses_its_rows_with_its_lease() {
    let url = database("queue_zombie").await;
    let (_pool, other) = queue(&url).await;
    fill(&other, 1).await;
    let (_pool, zombie) = queue(&url).await;
    let ttl = Duration::from_millis(300);
    let lease = zombie.lease("zombie", ttl).await.unwrap().unwrap();
    let window = zombie.read(&lease, None, MANY).await.unwrap();
    assert_eq!(window.entries.len(), 1);
    let others = other.lease("other", LONG).await.unwrap().unwrap();
    let back = async {
        while other.read(&others, None, MANY).await.unwrap().entries != window.entries {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("they are back");
    let late = zombie.settle(&lease, &window, &[Settled::Published]).await;
    assert!(late.expect_err("it has ended").is_transient());
    let again = zombie.lease("zombie", ttl).await.unwrap().unwrap();
    let nothing = zombie.read(&again, None, MANY).await.unwrap();
    assert_eq!(nothing.entries, [], "the other one has it");
}

/// The same when the relay asks for more time and has none.
#[tokio::test]
async fn a_lease_is_not_renewed_when_its_rows_are_lost() {
    let url = database("queue_renewed").await;
    let (pool, queue) = queue(&url).await;
    fill(&queue, 1).await;
    let lease = queue.lease("one", LONG).await.unwrap().unwrap();
    let window = queue.read(&lease, None, MANY).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND state = 'idle in transaction'";
    sqlx::query(end).execute(&pool).await.unwrap();
    let ended = async {
        while queue.lease("one", LONG).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("it is noticed");
    let late = queue.settle(&lease, &window, &[Settled::Published]).await;
    assert_eq!(late.unwrap_err().kind(), Kind::Fenced);
    let again = queue.lease("one", LONG).await.unwrap().unwrap();
    let back = queue.read(&again, None, MANY).await.unwrap();
    assert_eq!(back.entries, window.entries);
}

/// A log leaves rows that it has published, and a queue takes rows out of the middle of a log.
#[tokio::test]
async fn a_table_is_relayed_in_one_way_only() {
    let url = database("queue_or_log").await;
    let (pool, queue) = queue(&url).await;
    queue.lease("first", LONG).await.unwrap().unwrap();
    let log = outbox::Postgres::new(pool);
    let refused = log.lease("second", LONG).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
    assert!(!refused.is_transient());

    let url = database("log_or_queue").await;
    let pool = PgPool::connect(&url).await.unwrap();
    let log = outbox::Postgres::new(pool.clone());
    log.migrate().await.unwrap();
    log.lease("first", LONG).await.unwrap().unwrap();
    let refused = log.queue().lease("second", LONG).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
}

async fn refuse<T: std::fmt::Debug>(asked: impl Future<Output = Result<T, bowline::Error>>) {
    let refused = asked.await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused:?}");
}

/// The same whichever lane it is, and however many there are.
#[tokio::test]
async fn a_lane_makes_the_table_a_log_and_a_queue_has_none() {
    let two = NonZeroU32::new(2).unwrap();
    let url = database("lane_or_queue").await;
    let pool = PgPool::connect(&url).await.unwrap();
    let log = outbox::Postgres::new(pool.clone());
    log.migrate().await.unwrap();
    // As if the first lane had never been relayed.
    let lanes = "INSERT INTO bowline_outbox_cursor (lane, lanes, epoch) VALUES (1, 2, 0); \
        INSERT INTO bowline_outbox_position (lane, position, settled, settled_epoch) \
            VALUES (1, '1:1:', '1:1:', 0); UPDATE bowline_outbox_cursor SET lanes = 2";
    sqlx::raw_sql(lanes).execute(&pool).await.unwrap();
    log.lane(1).lease("first", LONG).await.unwrap().unwrap();
    refuse(log.clone().queue().lease("second", LONG)).await;
    refuse(log.lane(1).queue().lease("second", LONG)).await;

    let url = database("queue_or_lane").await;
    let (pool, queue) = queue(&url).await;
    fill(&queue, 10).await;
    let log = outbox::Postgres::new(pool.clone());
    sqlx::raw_sql(lanes).execute(&pool).await.unwrap();
    let of_lane = log.lane(1).queue();
    let lease = of_lane.lease("first", LONG).await.unwrap().unwrap();
    let window = of_lane.read(&lease, None, MANY).await.unwrap();
    assert_eq!(window.entries.len(), 10, "it is the queue of all rows");
    for lane in 0..3 {
        refuse(log.lane(lane).lease("second", LONG)).await;
    }
    refuse(log.set_lanes(two)).await;
}

/// Rows with no more than Debezium's columns are routed and published like others, also when they had to wait.
#[tokio::test]
async fn a_row_without_headers_is_relayed_and_set_aside_as_it_is() {
    let url = database("queue_foreign").await;
    let (pool, queue) = queue(&url).await;
    let insert = "INSERT INTO bowline_outbox (aggregatetype, aggregateid, type, payload, text_headers) \
        VALUES ('suite', '7', 'suite.event', 'x', '{\"trace\": \"1\"}')";
    sqlx::query(insert).execute(&pool).await.unwrap();
    let lease = queue.lease("one", LONG).await.unwrap().unwrap();
    let window = queue.read(&lease, None, MANY).await.unwrap();
    let entry = &window.entries[0];
    assert_eq!(
        (&*entry.record.topic, entry.unreadable.as_ref()),
        (TOPIC, None)
    );
    assert_eq!(entry.record.key.as_deref(), Some(b"7".as_slice()));
    let settled = [Settled::Aside];
    queue.settle(&lease, &window, &settled).await.unwrap();
    let waits = queue.set_aside(&lease, &[], MANY).await.unwrap();
    assert_eq!(waits.entries, window.entries);
    let parked = [Settled::Parked("why".to_owned())];
    queue.settle(&lease, &waits, &parked).await.unwrap();
    let parked = queue.parked(MANY).await.unwrap();
    assert_eq!(parked[0].entry, window.entries[0]);
}

/// A broker that is down.
#[derive(Debug)]
struct Down;

impl Publisher for Down {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let error = || bowline::Error::new(Kind::Unavailable, "test", "publish");
        let refused = batch.iter().map(|_| Err(PublishError::not_sent(error())));
        refused.collect()
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

/// A relay with rows in hand has its only connection there, and finds the outbox halted all the same.
#[tokio::test]
async fn a_relay_with_one_connection_stops_when_it_is_halted() {
    let url = database("queue_halted").await;
    let (_pool, operator) = queue(&url).await;
    fill(&operator, 3).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LONG);
    let pool = pool.connect(&url).await.unwrap();
    let relay = Relay::builder(outbox::Postgres::new(pool).queue(), Down)
        .backoff(Backoff::constant(Duration::from_millis(5)))
        .build();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.unwrap().run(shutdown.token()));
    let taken = async {
        // What is not taken yet is looked at and given back.
        loop {
            let lease = operator.lease("look", LONG).await.unwrap().unwrap();
            let window = operator.read(&lease, None, MANY).await.unwrap();
            operator.release(&lease).await.unwrap();
            if window.entries.is_empty() {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, taken).await.expect("the relay has them");
    operator.halt("a look is needed").await.unwrap();
    let stopped = async {
        while operator.status().await.unwrap().aside < 3 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, stopped).await.expect("it settles");
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// What cannot be read is parked as it is.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_parked_with_its_headers() {
    let url = database("queue_unreadable").await;
    let (pool, queue) = queue(&url).await;
    let insert = "INSERT INTO bowline_outbox (event_id, aggregatetype, type, topic, headers) \
        VALUES ('1', 'x', 'x', 'events', 'x')";
    sqlx::query(insert).execute(&pool).await.unwrap();
    let lease = queue.lease("one", LONG).await.unwrap().unwrap();
    let window = queue.read(&lease, None, MANY).await.unwrap();
    let reason = window.entries[0].unreadable.clone().unwrap();
    let settled = [Settled::Parked(reason)];
    queue.settle(&lease, &window, &settled).await.unwrap();
    let parked = queue.parked(MANY).await.unwrap();
    assert!(parked[0].entry.unreadable.is_some());
    let headers = sqlx::query_scalar("SELECT headers FROM bowline_outbox_aside");
    let headers: Vec<u8> = headers.fetch_one(&pool).await.unwrap();
    assert_eq!(headers, b"x");
}

/// A pooler that gives out connections by the transaction: fewer of them than there are clients, and after each
/// transaction any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_stands_before_the_database() {
    let url = database("queue_pooler").await;
    // What makes tables does so once, and not through a pooler.
    queue(&url).await;
    let pooler = spawn_blocking(|| PgBouncer::start(shared::postgres().unwrap(), 3));
    let pooler = pooler.await.unwrap().unwrap();
    let pooled = pooler.url_of(&url);
    let broker = Broker::new(1, Duration::from_millis(5)).await;
    let mut writers = JoinSet::new();
    for writer in 0..3 {
        let pool = PgPoolOptions::new().max_connections(2);
        let pool = pool.connect(&pooled).await.unwrap();
        let queue = outbox::Postgres::new(pool).with_topic(TOPIC).queue();
        writers.spawn(async move {
            for number in 0..ROWS {
                let mut tx = queue.begin().await.unwrap();
                let name = format!("{writer}-{number}");
                let message = Message::new("suite.event", name);
                queue.enqueue(&mut tx, &message).await.unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    let (shutdown, mut relays) = (Shutdown::new(), JoinSet::new());
    for _ in 0..4 {
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect(&pooled).await.unwrap();
        let queue = outbox::Postgres::new(pool).queue();
        let relay = Relay::builder(queue, broker.clone()).window(WINDOW);
        let relay = relay.poll(Duration::from_millis(5)).build().unwrap();
        relays.spawn(relay.run(shutdown.token()));
    }
    writers.join_all().await;
    let drained = async {
        while broker.taken_once() < 3 * ROWS {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("they go on");
    shutdown.trigger();
    for ended in relays.join_all().await {
        ended.unwrap();
    }
}
