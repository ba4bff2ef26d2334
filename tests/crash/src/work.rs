//! What a process does until it is killed.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::{self, Appended, PublishError, Publisher, Record};
use bowline::message::Message;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Relay, Store};
use bowline::shutdown::Shutdown;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

use crate::{KEYS, TOPIC, WORKS};

/// Begins the line that says what the broker has acknowledged.
pub const ACK: &str = "acknowledged ";
/// Ends it: a line that was cut short acknowledges nothing.
pub const END: &str = "end";

/// Publishes to the broker in `file`, and prints what it has acknowledged.
pub async fn publish(file: &Path, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let broker = broker::Sqlite::open(file).await.expect("the file is there");
    let mut number = 0u64;
    say(WORKS);
    loop {
        let batch: Vec<_> = (0..random.usize(1..20))
            .map(|_| {
                number += 1;
                let filler = "x".repeat(random.usize(0..2_000));
                Record::new(TOPIC, format!("{seed}-{number}-{filler}"))
                    .with_key(random.u8(0..50).to_string())
            })
            .collect();
        let results = broker.publish(batch.clone()).await;
        let mut line = String::new();
        for (record, result) in batch.iter().zip(results) {
            let appended = result.expect("the broker accepts the record");
            let offset = appended.offset.expect("it says where");
            let payload = record.payload.as_deref().expect("a payload");
            let payload = std::str::from_utf8(payload).expect("text");
            line += &format!("{} {offset} {payload};", appended.partition.partition);
        }
        say(&format!("{ACK}{line}{END}"));
    }
}

/// Writes rows with their messages into the database in `folder`, some of which it rolls back, and
/// relays them to the broker beside it.
pub async fn write_and_relay(folder: &Path, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (pool, outbox) = database(folder).await;
    let broker = broker(folder).await;
    let relay = relay(outbox.clone(), broker);
    let relay = tokio::spawn(relay.run(Shutdown::new().token()));
    let mut works = false;
    while !relay.is_finished() {
        let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.expect("begun");
        for _ in 0..random.u32(1..4) {
            let insert = sqlx::query_scalar("INSERT INTO things DEFAULT VALUES RETURNING number");
            let number: u32 = insert.fetch_one(&mut *tx).await.expect("inserted");
            let message = message(number);
            outbox.enqueue(&mut tx, &message).await.expect("enqueued");
        }
        if random.u8(0..4) == 0 {
            drop(tx);
            continue;
        }
        tx.commit().await.expect("committed");
        if !works {
            say(WORKS);
            works = true;
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..3))).await;
    }
    relay
        .await
        .expect("no panic")
        .expect("only stopped from outside");
}

/// Relays from the PostgreSQL database at `url` to the broker in `folder`.
pub async fn relay_from_postgres(url: &str, folder: &Path) {
    let pool = sqlx::PgPool::connect(url).await.expect("connected");
    let outbox = outbox::Postgres::new(pool).with_topic(TOPIC);
    let relay = relay(outbox, broker(folder).await);
    say(WORKS);
    let ended = Box::pin(relay.run(Shutdown::new().token())).await;
    ended.expect("only stopped from outside");
}

/// A broker whose client takes the whole process with it over one record.
#[derive(Debug)]
struct Deadly(broker::Sqlite);

/// The row over which [`relay_to_a_deadly_broker`] ends.
pub const DEADLY: u32 = 42;

impl Publisher for Deadly {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let deadly = DEADLY.to_string();
        let mut payloads = batch.iter().filter_map(|record| record.payload.as_deref());
        if payloads.any(|payload| payload == deadly.as_bytes()) {
            std::process::abort();
        }
        self.0.publish(batch).await
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }
}

/// Relays what is in the database in `folder`, and ends like a process that crashes over one row.
pub async fn relay_to_a_deadly_broker(folder: &Path) {
    let (_, outbox) = database(folder).await;
    let relay = relay(outbox, Deadly(broker(folder).await));
    say(WORKS);
    let ended = relay.run(Shutdown::new().token()).await;
    ended.expect("only stopped from outside");
}

/// The message of row `number`.
#[must_use]
pub fn message(number: u32) -> Message {
    Message::new("thing.made", number.to_string()).with_key((number % KEYS).to_string())
}

/// The database of [`write_and_relay`] and its outbox.
pub async fn database(folder: &Path) -> (SqlitePool, outbox::Sqlite) {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("things.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(10));
    let pool = SqlitePool::connect_with(options).await.expect("opened");
    let table = "CREATE TABLE IF NOT EXISTS things (number INTEGER PRIMARY KEY AUTOINCREMENT)";
    sqlx::query(table).execute(&pool).await.expect("made");
    let outbox = outbox::Sqlite::new(pool.clone()).with_topic(TOPIC);
    outbox.migrate().await.expect("migrated");
    (pool, outbox)
}

/// The broker in `folder`.
pub async fn broker(folder: &Path) -> broker::Sqlite {
    let file = folder.join("broker.db");
    broker::Sqlite::open(file).await.expect("opened")
}

/// A relay with the shortest lease and small windows.
pub fn relay<S: Store, P: Publisher>(store: S, broker: P) -> Relay<S, P> {
    Relay::builder(store, broker)
        .lease(Config::LEASE_MIN)
        .window(crate::WINDOW)
        .backoff(Backoff::constant(Duration::from_millis(20)))
        .build()
        .expect("a fine configuration")
}

#[expect(clippy::print_stdout, reason = "the parent process reads it")]
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("the parent reads");
}
