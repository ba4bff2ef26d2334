//! What wakes a relay over PostgreSQL, and what becomes of it when the wake-up is lost.

use std::num::NonZeroU32;
use std::time::Duration;

use bowline::broker::{Memory, Topics as _};
use bowline::error::Error;
use bowline::message::Message;
use bowline::outbox::relay::Config;
use bowline::outbox::{self, Relay, Store as _};
use bowline::shutdown::Shutdown;
use bowline_test_services::shared;
use sqlx::PgPool;
use tokio::process::Command;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::counted::Counted;

/// How long anything may take on a busy machine; shorter than a poll that is not to be waited for.
const PATIENCE: Duration = Duration::from_secs(50);
const NEVER: Duration = Duration::from_secs(600);

struct Outbox {
    pool: PgPool,
    store: Counted<outbox::Postgres>,
    outbox: outbox::Postgres,
    shutdown: Shutdown,
    relay: JoinHandle<Result<(), Error>>,
}

impl Outbox {
    async fn start(name: &'static str, poll: Duration) -> Self {
        let server = spawn_blocking(shared::postgres).await.unwrap().unwrap();
        let url = server.create_database(name).unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        let outbox = outbox::Postgres::new(pool.clone()).with_topic("events");
        outbox.migrate().await.unwrap();
        let broker = Memory::new();
        broker.create("events", NonZeroU32::MIN).await.unwrap();
        let store = Counted::new(outbox.clone());
        let relay = Relay::builder(store.clone(), broker).poll(poll);
        let relay = relay.lease(poll.max(Config::LEASE)).build().unwrap();
        let shutdown = Shutdown::new();
        let relay = tokio::spawn(relay.run(shutdown.token()));
        Self {
            pool,
            store,
            outbox,
            shutdown,
            relay,
        }
    }

    async fn enqueue(&self) {
        let mut tx = self.outbox.begin().await.unwrap();
        let message = Message::new("suite.event", "");
        self.outbox.enqueue(&mut tx, &message).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn drained(&self) {
        let drained = async {
            while self.outbox.status().await.unwrap().pending > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, drained).await.expect("the relay goes on");
    }

    /// Waits until the relay listens, on another connection than `before`.
    async fn listening(&self, before: Option<i32>) -> i32 {
        let look = async {
            loop {
                let pids: Vec<i32> = sqlx::query_scalar(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                     AND pid <> pg_backend_pid() AND query ILIKE 'LISTEN %'",
                )
                .fetch_all(&self.pool)
                .await
                .unwrap();
                let new = pids.into_iter().find(|pid| Some(*pid) != before);
                if let Some(new) = new {
                    return new;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, look).await.expect("it listens")
    }

    /// Waits until nothing wakes the relay any more; how often it was woken.
    async fn quiet(&self) -> u32 {
        let quiet = async {
            loop {
                let hints = self.store.hints();
                sleep(Duration::from_millis(300)).await;
                if self.store.hints() == hints {
                    return hints;
                }
            }
        };
        timeout(PATIENCE, quiet)
            .await
            .expect("it does not wake itself")
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.relay.await.unwrap().unwrap();
    }
}

/// However many notifications a burst sends, they are one hint once they are there; and what the relay
/// itself writes sends none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_wakes_the_relay_once_and_its_own_writes_never() {
    let outbox = Outbox::start("wake_burst", Config::POLL).await;
    outbox.listening(None).await;
    let before = outbox.quiet().await;
    // While the relay is kept from looking, a burst comes.
    let mut lock = outbox.pool.begin().await.unwrap();
    let positions = sqlx::query("LOCK TABLE bowline_outbox_position");
    positions.execute(&mut *lock).await.unwrap();
    outbox.enqueue().await;
    let looking = async {
        while outbox.waits_for_a_lock().await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it looks");
    for _ in 0..100 {
        outbox.enqueue().await;
    }
    lock.commit().await.unwrap();
    outbox.drained().await;
    let woken = outbox.quiet().await - before;
    assert!(woken <= 3, "woken {woken} times");
    outbox.stop().await;
}

impl Outbox {
    async fn waits_for_a_lock(&self) -> i64 {
        let waiting = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND wait_event_type = 'Lock'",
        );
        waiting.fetch_one(&self.pool).await.unwrap()
    }
}

/// Polling is as good as off: only a notification brings a row in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_listens_and_is_ended_is_made_anew() {
    let outbox = Outbox::start("wake_ended", NEVER).await;
    let mut listening = outbox.listening(None).await;
    for _ in 0..3 {
        let end = sqlx::query("SELECT pg_terminate_backend($1)").bind(listening);
        end.execute(&outbox.pool).await.unwrap();
        outbox.enqueue().await;
        outbox.drained().await;
        listening = outbox.listening(Some(listening)).await;
        outbox.quiet().await;
        outbox.enqueue().await;
        outbox.drained().await;
    }
    outbox.stop().await;
}

/// The other end neither answers nor goes away, as behind a firewall that has forgotten the connection.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_dies_silently_costs_a_poll_and_is_made_anew() {
    let outbox = Outbox::start("wake_silent", Config::POLL).await;
    let listening = outbox.listening(None).await;
    signal("STOP", listening).await;
    for _ in 0..3 {
        outbox.enqueue().await;
        outbox.drained().await;
    }
    outbox.listening(Some(listening)).await;
    let before = outbox.quiet().await;
    outbox.enqueue().await;
    outbox.drained().await;
    assert!(outbox.quiet().await > before, "it hears again");
    signal("CONT", listening).await;
    outbox.stop().await;
}

#[cfg(unix)]
async fn signal(name: &str, pid: i32) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.unwrap().success(), "SIG{name}");
}
