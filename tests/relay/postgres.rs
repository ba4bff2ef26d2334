//! Relays over PostgreSQL that is slow, restarted, or takes connections away.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::{Memory, Polled, Start, Subscriber as _, Topics as _};
use bowline::message::Message;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use bowline_test_services::{Postgres, shared};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row as _};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

const TOPIC: &str = "events";
const KEYS: u32 = 5;
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Outbox {
    url: String,
    pool: PgPool,
    store: outbox::Postgres,
    broker: Memory,
    shutdown: Shutdown,
    relay: JoinHandle<Result<(), bowline::Error>>,
}

impl Outbox {
    /// An outbox in a new database of `server`, with a relay that is running.
    async fn start(server: &Postgres, name: &str) -> Self {
        let url = server.create_database(name).unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
        store.migrate().await.unwrap();
        let broker = Memory::new();
        broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
        let shutdown = Shutdown::new();
        let relay = Relay::builder(store.clone(), broker.clone())
            .lease(Config::LEASE_MIN)
            .backoff(Backoff::constant(Duration::from_millis(50)))
            .build()
            .unwrap();
        let relay = tokio::spawn(relay.run(shutdown.token()));
        Self {
            url,
            pool,
            store,
            broker,
            shutdown,
            relay,
        }
    }

    async fn enqueue(&self, number: u32) -> Result<(), bowline::error::BoxError> {
        let message =
            Message::new("suite.event", number.to_string()).with_key((number % KEYS).to_string());
        let mut tx = self.pool.begin().await?;
        self.store.enqueue(&mut tx, &message).await?;
        Ok(tx.commit().await?)
    }

    async fn drained(&self) {
        let drained = async {
            while !matches!(self.store.status().await, Ok(status) if status.pending == 0) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, drained).await.expect("the relay goes on");
    }

    /// Stops the relay; every number that was committed, by key in order, without copies.
    async fn finish(self) -> HashMap<u32, Vec<u32>> {
        self.shutdown.trigger();
        self.relay.await.unwrap().expect("it ends only when told");
        let mut seen: HashMap<u32, Vec<u32>> = HashMap::new();
        for number in published(&self.broker, "check").await {
            let of_key = seen.entry(number % KEYS).or_default();
            if !of_key.contains(&number) {
                of_key.push(number);
            }
        }
        seen
    }
}

async fn server() -> &'static Postgres {
    spawn_blocking(shared::postgres).await.unwrap().unwrap()
}

fn in_order(seen: &HashMap<u32, Vec<u32>>, committed: &[u32]) {
    for key in 0..KEYS {
        let expected: Vec<_> = committed.iter().filter(|n| **n % KEYS == key).collect();
        let seen: Vec<_> = seen.get(&key).into_iter().flatten().collect();
        assert_eq!(seen, expected, "key {key}");
    }
}

/// The transaction of a window holds the lease's row, so a renewal waits for it; were the window
/// then to wait for the renewal, both would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_outlasts_a_renewal_comes_to_its_end() {
    let outbox = Outbox::start(server().await, "relay_slow_window").await;
    // The lock keeps the relay from its rows, in the middle of its transaction.
    let mut lock = outbox.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE bowline_outbox IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    sleep(2 * Config::LEASE_MIN).await;
    lock.commit().await.unwrap();

    outbox.enqueue(1).await.unwrap();
    outbox.drained().await;
    in_order(&outbox.finish().await, &[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_taken_away_lose_nothing() {
    let server = server().await;
    let outbox = Outbox::start(server, "relay_terminated").await;
    let mut committed = Vec::new();
    for number in 0..300 {
        match outbox.enqueue(number).await {
            Ok(()) => committed.push(number),
            // Nobody knows whether it was committed: the number is not used again.
            Err(_) => {
                let written = written(&outbox, number).await;
                committed.extend(written.then_some(number));
            }
        }
        if number % 30 == 29 {
            terminate(server, &outbox).await;
        }
    }
    outbox.drained().await;
    in_order(&outbox.finish().await, &committed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_goes_on_when_the_server_has_been_restarted() {
    let server = spawn_blocking(Postgres::start).await.unwrap().unwrap();
    let server = Arc::new(server);
    let outbox = Outbox::start(&server, "relay_restarted").await;
    let mut committed = Vec::new();
    for round in 0..3 {
        for number in round * 20..(round + 1) * 20 {
            outbox.enqueue(number).await.unwrap();
            committed.push(number);
        }
        let restarted = Arc::clone(&server);
        let restarted = spawn_blocking(move || restarted.restart()).await.unwrap();
        restarted.unwrap();
    }
    outbox.drained().await;
    in_order(&outbox.finish().await, &committed);
}

/// Whether an enqueue whose answer was lost has happened: its row waits, or was published.
async fn written(outbox: &Outbox, number: u32) -> bool {
    outbox.drained().await;
    let group = format!("written-{number}");
    published(&outbox.broker, &group).await.contains(&number)
}

/// Every number that the broker has, in order, copies included.
async fn published(broker: &Memory, group: &str) -> Vec<u32> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    let subscribed = subscriber.subscribe(group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut numbers = Vec::new();
    let many = NonZeroUsize::new(1_000).unwrap();
    while let Ok(polled) = timeout(Duration::from_millis(200), subscriber.poll(many)).await {
        let Polled::Records(records) = polled.unwrap() else {
            continue;
        };
        numbers.extend(records.into_iter().map(|received| {
            let payload = received.record.payload.unwrap();
            std::str::from_utf8(&payload)
                .unwrap()
                .parse::<u32>()
                .unwrap()
        }));
    }
    numbers
}

/// Ends every connection to the outbox's database, as an administrator or a proxy may.
async fn terminate(server: &'static Postgres, outbox: &Outbox) {
    let (_, database) = outbox.url.rsplit_once('/').unwrap();
    let sql = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'"
    );
    let ended = spawn_blocking(move || server.query(&sql)).await.unwrap();
    assert_ne!(ended.unwrap().as_deref(), Some("0"));
}

/// A step that is dropped at any of its polls leaves no transaction behind in the pool, where it
/// would keep the lease from everybody, and lose what is written next.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_given_up_leaves_no_transaction_open() {
    let url = shared::postgres()
        .unwrap()
        .create_database("given-up")
        .unwrap();
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&url).await.unwrap();
    let store = outbox::Postgres::new(pool.clone()).with_topic(TOPIC);
    store.migrate().await.unwrap();
    let ttl = Duration::from_secs(60);
    let lease = store.lease("first", ttl).await.unwrap().expect("is free");
    // Which poll it is that waits for the answer to `BEGIN` is up to the machine.
    for polls in (1..8).cycle().take(200) {
        give_up(polls, store.read(&lease, None, NonZeroUsize::MIN)).await;
        give_up(polls, store.begin()).await;
        sqlx::query("SELECT 1").execute(&pool).await.unwrap();
        // Outside a transaction this second statement begins one of its own.
        let inside = sqlx::raw_sql("SELECT transaction_timestamp() <> statement_timestamp()");
        let inside = inside.fetch_one(&pool).await.unwrap();
        assert!(!inside.get::<bool, _>(0), "after {polls} polls");
    }
}

/// Drops `work` after so many polls, unless it is done before.
async fn give_up<F: Future>(polls: usize, work: F) {
    let mut work = pin!(work);
    let mut left = polls;
    let given_up = poll_fn(|cx| {
        left -= 1;
        if work.as_mut().poll(cx).is_ready() || left == 0 {
            return Poll::Ready(());
        }
        Poll::Pending
    });
    given_up.await;
}
