//! What wakes a relay over SQLite.

use std::num::NonZeroU32;
use std::time::Duration;

use bowline::broker::{Memory, Topics as _};
use bowline::message::Message;
use bowline::outbox::{Relay, Sqlite, Store as _};
use bowline::shutdown::Shutdown;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use tokio::time::{sleep, timeout};

use crate::counted::Counted;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(50);

/// SQLite tells of every commit, the relay's own among them: that is one look more, not one after the other.
#[tokio::test]
async fn a_burst_is_few_hints_and_then_it_is_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("outbox.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let outbox = Sqlite::new(pool).with_topic("events");
    outbox.migrate().await.unwrap();
    let broker = Memory::new();
    broker.create("events", NonZeroU32::MIN).await.unwrap();
    let store = Counted::new(outbox.clone());
    let relay = Relay::builder(store.clone(), broker).lease(PATIENCE);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    quiet(&store).await;
    for _ in 0..3 {
        let before = store.hints();
        let mut tx = outbox.begin().await.unwrap();
        for _ in 0..100 {
            let message = Message::new("suite.event", "");
            outbox.enqueue(&mut tx, &message).await.unwrap();
        }
        tx.commit().await.unwrap();
        let drained = async {
            while outbox.status().await.unwrap().pending > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, drained).await.expect("the relay goes on");
        let hints = quiet(&store).await - before;
        assert!((1..=3).contains(&hints), "{hints} hints");
    }
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// Waits until nothing wakes the relay any more; how often it was woken.
async fn quiet(store: &Counted<Sqlite>) -> u32 {
    let quiet = async {
        loop {
            let hints = store.hints();
            sleep(Duration::from_millis(300)).await;
            if store.hints() == hints {
                return hints;
            }
        }
    };
    timeout(PATIENCE, quiet).await.expect("it is quiet")
}
