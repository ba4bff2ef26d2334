//! A relay that publishes through a breaker.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bowline::breaker::Breaker;
use bowline::broker::{
    Appended, Layered, Memory, PublishError, PublishOutcome, Publisher, Record, Topics as _,
};
use bowline::error::{Error, Kind};
use bowline::outbox::{self, Relay, Routing, Store as _};
use bowline::shutdown::Shutdown;
use tokio::time::sleep;

use crate::topics::{enqueue, first_word, numbers};

#[derive(Debug, Clone)]
struct Broker {
    inner: Memory,
    away: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if !self.away.load(Ordering::SeqCst) {
            return self.inner.publish(batch).await;
        }
        // As a client that waits for its broker in vain.
        sleep(Duration::from_secs(5)).await;
        let away = |_| {
            let error = Error::new(Kind::Unavailable, "test", "publish");
            Err(PublishError::not_sent(error))
        };
        batch.into_iter().map(away).collect()
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

/// It is asked as seldom as the breaker lets through, however often the relay tries; nothing is parked or
/// set aside, though other topics were well before, and the lease stays where it is.
#[tokio::test(start_paused = true)]
async fn a_relay_behind_a_breaker_leaves_a_dead_broker_alone_and_goes_on_when_it_is_back() {
    let outbox = outbox::Memory::new().with_routing(Routing::by(first_word));
    let broker = Broker {
        inner: Memory::new(),
        away: Arc::default(),
        calls: Arc::default(),
    };
    for topic in ["one", "other"] {
        broker.inner.create(topic, NonZeroU32::MIN).await.unwrap();
    }
    let breaker = Breaker::builder("broker").consecutive_failures(3);
    let layer = breaker.build().unwrap().layer();
    let layer = layer.with_classifier(PublishOutcome::new());
    let relay = Relay::builder(outbox.clone(), Layered::new(broker.clone(), layer));
    let relay = relay.window(NonZeroUsize::new(4).unwrap()).build().unwrap();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    for topic in ["one.event", "other.event"] {
        enqueue(&outbox, topic, 0);
    }
    sleep(Duration::from_secs(1)).await;
    let before = outbox.status().await.unwrap();
    assert_eq!(before.pending, 0);

    broker.away.store(true, Ordering::SeqCst);
    for number in 1..20 {
        enqueue(&outbox, "one.event", number);
    }
    for number in 1..20 {
        enqueue(&outbox, "other.event", number);
    }
    let calls = broker.calls.load(Ordering::SeqCst);
    for _ in 0..60 {
        sleep(Duration::from_secs(60)).await;
        let status = outbox.status().await.unwrap();
        assert_eq!((status.pending, status.aside, status.parked), (38, 0, 0));
        assert_eq!((&status.owner, status.epoch), (&before.owner, before.epoch));
    }
    let asked = broker.calls.load(Ordering::SeqCst) - calls;
    assert!(asked < 150, "asked {asked} times in an hour");

    broker.away.store(false, Ordering::SeqCst);
    // Longer than the breaker keeps anybody waiting.
    sleep(Duration::from_secs(1_200)).await;
    for topic in ["one", "other"] {
        assert_eq!(
            numbers(&broker.inner, topic, 20).await,
            Vec::from_iter(0..20)
        );
    }
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    assert_eq!(outbox.status().await.unwrap().pending, 0);
}
