//! Messages that are due later, and the relay that waits for them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{self, Polled, Start, Subscriber as _, Topics as _};
use bowline::clock::{Clock as _, SystemClock};
use bowline::message::Message;
use bowline::outbox::{Memory, Relay, Store as _};
use bowline::shutdown::Shutdown;
use chrono::TimeDelta;
use tokio::time::{Instant, sleep};

const TOPIC: &str = "events";
const RARELY: Duration = Duration::from_secs(3_600);

/// A relay that looks rarely sleeps until the next message is due, and publishes it then and not before.
#[tokio::test(start_paused = true)]
async fn a_relay_sleeps_until_a_message_is_due() {
    let outbox = Memory::new().with_topic(TOPIC);
    let broker = broker::Memory::new();
    broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
    let relay = Relay::builder(outbox.clone(), broker.clone());
    let relay = relay.lease(2 * RARELY).poll(RARELY).build().unwrap();
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    let started = Instant::now();
    for seconds in [90, 30, 60] {
        // The relay sleeps already when it is told of it.
        sleep(Duration::from_millis(10)).await;
        let message = Message::new("suite.event", seconds.to_string()).with_key("same");
        let at = SystemClock.now() + TimeDelta::seconds(seconds);
        let mut tx = outbox.begin();
        outbox.enqueue_at(&mut tx, &message, at).unwrap();
        tx.commit();
    }
    assert_eq!(outbox.status().await.unwrap().scheduled, 3);
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    let subscribed = subscriber.subscribe("check", &topics, Start::Earliest);
    subscribed.await.unwrap();
    for seconds in [30, 60, 90] {
        let received = loop {
            let one = NonZeroUsize::MIN;
            if let Polled::Records(records) = subscriber.poll(one).await.unwrap() {
                break records;
            }
        };
        let payload = received[0].record.payload.as_deref().unwrap();
        assert_eq!(payload, seconds.to_string().as_bytes());
        let waited = started.elapsed();
        let due = Duration::from_secs(seconds);
        assert!(waited + Duration::from_millis(1) >= due, "{waited:?}");
        assert!(waited < due + Duration::from_secs(10), "{waited:?}");
    }
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}
