use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Polled, Start, Subscriber as _};
use bowline::outbox::Store;
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use crate::{KEYS, TOPIC, work};

/// What was published.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Seen {
    /// Per key the numbers in the order in which they came first.
    pub first: BTreeMap<u32, Vec<u32>>,
    /// How many records were copies of earlier ones.
    pub copies: usize,
}

impl Seen {
    /// Everything in the broker in `folder`.
    pub async fn read(folder: &Path) -> Self {
        let broker = work::broker(folder).await;
        let mut subscriber = broker.subscriber();
        let topics = [Arc::from(TOPIC)];
        let group = format!("check-{}", fastrand::u64(..));
        let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
        subscribed.await.expect("the topic is there");
        let mut seen = Self::default();
        let many = NonZeroUsize::new(10_000).expect("not 0");
        while let Ok(polled) = timeout(Duration::from_millis(500), subscriber.poll(many)).await {
            let Polled::Records(records) = polled.expect("polled") else {
                continue;
            };
            for received in records {
                let payload = received.record.payload.expect("a payload");
                let text = std::str::from_utf8(&payload).expect("text");
                let number: u32 = text.parse().expect("a number");
                let of_key = seen.first.entry(number % KEYS).or_default();
                if of_key.contains(&number) {
                    seen.copies += 1;
                } else {
                    of_key.push(number);
                }
            }
        }
        seen
    }

    /// Exactly the `committed` numbers are there, in order per key.
    pub fn assert_is(&self, committed: &[u32], what: &str) {
        for key in 0..KEYS {
            let of_key = committed.iter().filter(|number| **number % KEYS == key);
            let expected: Vec<u32> = of_key.copied().collect();
            let seen = self.first.get(&key).map_or(&[][..], Vec::as_slice);
            assert_eq!(seen, expected, "{what}, key {key}");
        }
    }
}

/// Relays until nothing is pending.
pub async fn drain<S: Store + Clone>(outbox: &S, folder: &Path) {
    let relay = work::relay(outbox.clone(), work::broker(folder).await);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.run(shutdown.token()));
    let drained = async {
        while outbox.status().await.expect("a status").pending > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), drained)
        .await
        .expect("it goes on");
    shutdown.trigger();
    relay
        .await
        .expect("no panic")
        .expect("it ends only when told");
}
