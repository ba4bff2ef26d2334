//! What is published while the store settles what was published before, in virtual time.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bowline::broker::{self, Topics as _};
use bowline::message::Message;
use bowline::outbox::{Memory, Relay, Store as _};
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use crate::counted::Counted;
use crate::exactly_once::payloads;

const WINDOW: NonZeroUsize = NonZeroUsize::new(10).unwrap();
const SETTLING: Duration = Duration::from_secs(2);

struct Outbox {
    outbox: Memory,
    store: Counted<Memory>,
    broker: broker::Memory,
}

impl Outbox {
    async fn new() -> Self {
        let outbox = Memory::new().with_topic("events");
        let broker = broker::Memory::new();
        broker.create("events", NonZeroU32::MIN).await.unwrap();
        Self {
            store: Counted::new(outbox.clone()).with_slow_settling(SETTLING),
            outbox,
            broker,
        }
    }

    fn relay(&self) -> Relay<Counted<Memory>, broker::Memory> {
        let relay = Relay::builder(self.store.clone(), self.broker.clone()).window(WINDOW);
        relay.build().unwrap()
    }

    /// Rows of a transaction each, a tenth of a second apart.
    async fn write(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let mut tx = self.outbox.begin();
            let message = Message::new("suite.event", number.to_string()).with_key("a");
            self.outbox.enqueue(&mut tx, &message).unwrap();
            tx.commit();
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn published(&self) -> Vec<String> {
        payloads(&self.broker, "events").await
    }
}

/// The first row is settled for two seconds, and the nineteen that come meanwhile are published up to as
/// many as a window has; what comes of a crash then is no more than that.
#[tokio::test(start_paused = true)]
async fn no_more_than_a_window_is_published_and_not_settled() {
    let outbox = Outbox::new().await;
    let working = outbox.relay().run(Shutdown::new().token());
    let writing = outbox.write(0..19);
    tokio::select! {
        _ = working => panic!("it works on"),
        () = writing => {}
    }
    let numbers = |numbers: std::ops::Range<u32>| numbers.map(|n| n.to_string());
    let before: Vec<_> = numbers(0..10).collect();
    assert_eq!(outbox.published().await, before);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(outbox.relay().run(shutdown.token()));
    sleep(Duration::from_secs(60)).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    let all: Vec<_> = before.into_iter().chain(numbers(0..19)).collect();
    assert_eq!(outbox.published().await, all);
}

/// As many calls as the store can answer, whatever comes.
#[tokio::test(start_paused = true)]
async fn small_windows_are_settled_as_one() {
    let outbox = Outbox::new().await;
    let relay = outbox.relay();
    let stats = relay.stats();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    outbox.write(0..5).await;
    assert_eq!(outbox.published().await.len(), 5);
    sleep(2 * SETTLING).await;
    assert_eq!(outbox.store.settles(), 2, "the first, and the others");
    let shown = stats.snapshot();
    assert_eq!((shown.published, shown.windows), (5, 5));
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// What was published while it failed is settled with it; nothing comes twice, and the relay works on.
#[tokio::test(start_paused = true)]
async fn what_could_not_be_settled_is_settled_with_what_comes_next() {
    let mut outbox = Outbox::new().await;
    outbox.store = outbox.store.with_failures(1);
    let relay = outbox.relay();
    let stats = relay.stats();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    outbox.write(0..4).await;
    sleep(5 * SETTLING).await;
    assert_eq!(outbox.store.settles(), 2);
    let shown = stats.snapshot();
    assert_eq!((shown.published, shown.windows), (4, 4));
    outbox.write(4..6).await;
    shutdown.trigger();
    let ended = timeout(3 * SETTLING, relay).await.expect("it ends");
    ended.unwrap().unwrap();
    assert_eq!(outbox.published().await.len(), 6, "no copies");
}

/// A relay that cannot settle at all ends when it is told to.
#[tokio::test(start_paused = true)]
async fn a_relay_that_cannot_settle_stops_when_it_is_told_to() {
    let mut outbox = Outbox::new().await;
    outbox.store = outbox.store.with_failures(u32::MAX);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(outbox.relay().run(shutdown.token()));
    outbox.write(0..4).await;
    sleep(5 * SETTLING).await;
    shutdown.trigger();
    let ended = timeout(Duration::from_secs(60), relay).await;
    ended.expect("it ends").unwrap().unwrap();
}

/// A store that answers slowly while the relay is busy: the lease is renewed nevertheless.
#[tokio::test(start_paused = true)]
async fn a_busy_relay_keeps_its_lease() {
    let mut outbox = Outbox::new().await;
    outbox.store = Counted::new(outbox.outbox.clone()).with_slow_leases(Duration::from_secs(1));
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(outbox.relay().run(shutdown.token()));
    sleep(Duration::from_secs(2)).await;
    let epoch = outbox.outbox.status().await.unwrap().epoch;
    outbox.write(0..600).await;
    assert_eq!(outbox.outbox.status().await.unwrap().epoch, epoch);
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    assert_eq!(outbox.published().await.len(), 600, "no copies");
}

/// A calm stop waits for it, and so does a turn of a timer.
#[tokio::test(start_paused = true)]
async fn a_relay_that_ends_has_settled_what_it_has_published() {
    let outbox = Outbox::new().await;
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(outbox.relay().run(shutdown.token()));
    outbox.write(0..3).await;
    shutdown.trigger();
    let ended = timeout(3 * SETTLING, relay).await.expect("it ends");
    ended.unwrap().unwrap();
    assert_eq!(outbox.outbox.status().await.unwrap().pending, 0);
    outbox.write(3..4).await;
    let report = outbox.relay().run_once().await.unwrap();
    assert_eq!(report.published, 1);
    assert_eq!(outbox.outbox.status().await.unwrap().pending, 0);
    assert_eq!(outbox.published().await.len(), 4, "no copies");
}
