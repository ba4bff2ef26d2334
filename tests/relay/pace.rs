//! How soon a relay looks again, in virtual time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline::broker::{self, Topics as _};
use bowline::error::Error;
use bowline::message::Message;
use bowline::outbox::relay::Stats;
use bowline::outbox::{Memory, Relay};
use bowline::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::counted::Counted;

struct Outbox {
    outbox: Memory,
    store: Counted<Memory>,
    stats: Stats,
    enqueued: AtomicU64,
    shutdown: Shutdown,
    relay: JoinHandle<Result<(), Error>>,
}

impl Outbox {
    async fn start(wrap: impl FnOnce(Memory) -> Counted<Memory>) -> Self {
        let outbox = Memory::new().with_topic("events");
        let store = wrap(outbox.clone());
        let broker = broker::Memory::new();
        broker.create("events", NonZeroU32::MIN).await.unwrap();
        let relay = Relay::builder(store.clone(), broker).build().unwrap();
        let stats = relay.stats();
        let shutdown = Shutdown::new();
        let relay = tokio::spawn(relay.run(shutdown.token()));
        Self {
            outbox,
            store,
            stats,
            enqueued: AtomicU64::new(0),
            shutdown,
            relay,
        }
    }

    fn enqueue(&self, rows: u32) {
        let mut tx = self.outbox.begin();
        for number in 0..rows {
            let message = Message::new("suite.event", number.to_string());
            self.outbox.enqueue(&mut tx, &message).unwrap();
        }
        self.enqueued.fetch_add(rows.into(), Ordering::SeqCst);
        tx.commit();
    }

    /// How long until all is published, to the tenth of a millisecond.
    async fn drained(&self) -> Duration {
        let begun = Instant::now();
        let enqueued = self.enqueued.load(Ordering::SeqCst);
        while self.stats.snapshot().latency.count() < enqueued {
            sleep(Duration::from_micros(100)).await;
        }
        begun.elapsed()
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.relay.await.unwrap().unwrap();
    }
}

const POLL: Duration = Duration::from_millis(500);
/// Timers are a millisecond coarse.
const GRAIN: Duration = Duration::from_millis(2);

/// What comes while events come is found by looking often; what comes after a long silence, when it polls.
#[tokio::test(start_paused = true)]
async fn without_hints_a_row_waits_no_longer_than_it_was_quiet() {
    let outbox = Outbox::start(|outbox| Counted::new(outbox).without_hints()).await;
    for quiet in [0, 1, 5, 20, 80, 300, 5_000].map(Duration::from_millis) {
        outbox.enqueue(1);
        outbox.drained().await;
        sleep(quiet).await;
        outbox.enqueue(1);
        let took = outbox.drained().await;
        assert!(took <= quiet.min(POLL) + GRAIN, "{took:?} after {quiet:?}");
    }
    outbox.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hint_ends_the_wait_at_once() {
    let outbox = Outbox::start(Counted::new).await;
    for quiet in [3, 30, 300, 3_000, 30_000].map(Duration::from_millis) {
        sleep(quiet).await;
        outbox.enqueue(1);
        let took = outbox.drained().await;
        assert!(took <= GRAIN, "{took:?} after {quiet:?}");
    }
    outbox.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_relay_looks_as_seldom_as_it_polls() {
    let outbox = Outbox::start(Counted::new).await;
    sleep(Duration::from_secs(1)).await;
    let before = outbox.store.reads();
    sleep(Duration::from_secs(60)).await;
    let reads = outbox.store.reads() - before;
    assert!((118..=122).contains(&reads), "{reads} reads in a minute");
    outbox.stop().await;
}

/// Rows that come one after the other, faster than they are looked for, are read together.
#[tokio::test(start_paused = true)]
async fn a_burst_is_read_as_windows() {
    let outbox = Outbox::start(|outbox| Counted::new(outbox).without_hints()).await;
    outbox.enqueue(1);
    outbox.drained().await;
    let before = outbox.store.reads();
    for _ in 0..1_000 {
        outbox.enqueue(1);
        tokio::task::yield_now().await;
    }
    outbox.drained().await;
    let reads = outbox.store.reads() - before;
    assert!(reads <= 10, "{reads} reads");
    outbox.stop().await;
}
