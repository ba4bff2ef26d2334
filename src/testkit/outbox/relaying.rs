//! A relay over the outbox under test, with a fault at every step of its work.

use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::scheduling::past;
use super::{Harness, TOPIC, message};
use crate::backoff::Backoff;
use crate::broker::{self, Polled, Start, Subscriber, TopicPartition, Topics, Transactions};
use crate::outbox::relay::{Config, Delivery, ExactlyOnce};
use crate::outbox::{Relay, Store};
use crate::shutdown::Shutdown;
use crate::testkit::faults::{Fault, Faults};

/// How a relay publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    AtLeastOnce,
    ExactlyOnce,
}

/// The last of them is that of messages which are due by now, but were to be published later.
const KEYS: usize = 4;
const PER_KEY: usize = 3;
/// How many relays are tried at the same time.
const AT_ONCE: usize = 24;
const WINDOW: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const LOOK: Duration = Duration::from_millis(5);

/// At whatever step a relay fails or dies, the next try or the next relay publishes every committed
/// row, in order per key, at most one window of them twice, and nothing that was rolled back.
pub async fn a_relay_loses_nothing_at_any_step<H: Harness>(fresh: &impl AsyncFn() -> H) {
    at_each_step(fresh, How::AtLeastOnce).await;
}

/// At whatever step a relay fails or dies that publishes in transactions of the broker, every committed
/// row is published once, in order per key.
pub async fn a_relay_doubles_nothing_at_any_step<H: Harness>(fresh: &impl AsyncFn() -> H) {
    at_each_step(fresh, How::ExactlyOnce).await;
}

async fn at_each_step<H: Harness>(fresh: &impl AsyncFn() -> H, how: How) {
    let counted = Faults::none();
    run(&fresh().await, &counted, None, how).await;
    let steps = 1..=counted.steps();
    let faults = steps.flat_map(|step| [(step, Fault::Fail), (step, Fault::Hang)]);
    let mut waiting = faults.map(|(step, fault)| {
        let faults = Faults::at(step, fault);
        Box::pin(async move { run(&fresh().await, &faults, Some((step, fault)), how).await })
            as Pin<Box<dyn Future<Output = ()> + '_>>
    });
    // Each waits for a lease to expire: many wait together, though each has connections of its own.
    let mut runs: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
    poll_fn(|cx| {
        let mut index = 0;
        while let Some(run) = runs.get_mut(index) {
            if run.as_mut().poll(cx).is_pending() {
                index += 1;
            } else if let Some(next) = waiting.next() {
                *run = next;
            } else {
                drop(runs.swap_remove(index));
            }
        }
        if runs.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn run<H: Harness>(harness: &H, faults: &Faults, case: Option<(u64, Fault)>, how: How) {
    fill(harness).await;
    let broker = broker::Memory::new();
    let created = broker.create(TOPIC, NonZeroU32::MIN).await;
    created.expect("a new topic");
    let store = harness.store();
    let (faulty, of_broker) = (faults.wrap(store.clone()), faults.wrap(broker.clone()));
    let crashed = crashed(faults, case);
    match how {
        How::AtLeastOnce => tokio::select! {
            () = relay(faulty, of_broker, store) => {}
            () = crashed => relay(store.clone(), broker.clone(), store).await,
        },
        How::ExactlyOnce => tokio::select! {
            () = relay(faulty, exactly_once(of_broker), store) => {}
            () = crashed => relay(store.clone(), exactly_once(broker.clone()), store).await,
        },
    }
    check(&broker, case, how, H::ORDERED).await;
}

fn exactly_once<T: Transactions>(broker: T) -> ExactlyOnce<T> {
    ExactlyOnce::new(broker, TOPIC, TopicPartition::new(TOPIC, 0))
}

async fn crashed(faults: &Faults, case: Option<(u64, Fault)>) {
    faults.struck().await;
    if !matches!(case, Some((_, Fault::Hang))) {
        std::future::pending::<()>().await;
    }
}

/// Relays until nothing is pending.
async fn relay<S: Store, D: Delivery>(store: S, publisher: D, outbox: &impl Store) {
    let relay = Relay::builder(store, publisher)
        .window(WINDOW)
        .lease(Config::LEASE_MIN)
        .poll(LOOK)
        .backoff(Backoff::constant(LOOK))
        .build()
        .expect("a fine configuration");
    let shutdown = Shutdown::new();
    let drained = async {
        loop {
            let status = outbox.status().await.expect("a status");
            if (status.pending, status.scheduled) == (0, 0) {
                break;
            }
            sleep(LOOK).await;
        }
        shutdown.trigger();
    };
    let (relayed, ()) = tokio::join!(relay.run(shutdown.token()), drained);
    relayed.expect("it only ends when told to");
}

async fn fill<H: Harness>(harness: &H) {
    for number in 0..PER_KEY {
        let mut tx = harness.begin().await;
        for key in 0..KEYS {
            let message = message(&format!("{key}/{number}"), &key.to_string());
            let written = if key == KEYS - 1 {
                harness.enqueue_at(&mut tx, &message, past()).await
            } else {
                harness.enqueue(&mut tx, &message).await
            };
            written.expect("enqueued");
        }
        harness.commit(tx).await;
        let mut tx = harness.begin().await;
        let ghost = message("ghost", "0");
        harness.enqueue(&mut tx, &ghost).await.expect("enqueued");
        let scheduled = harness.enqueue_at(&mut tx, &ghost, past()).await;
        scheduled.expect("scheduled");
        drop(tx);
    }
}

async fn check(broker: &broker::Memory, case: Option<(u64, Fault)>, how: How, is_ordered: bool) {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(TOPIC)];
    let subscribed = subscriber.subscribe("check", &topics, Start::Earliest);
    subscribed.await.expect("the topic is there");
    let mut seen = Vec::new();
    let many = NonZeroUsize::new(100).expect("not 0");
    while let Ok(polled) = timeout(20 * LOOK, subscriber.poll(many)).await {
        if let Polled::Records(records) = polled.expect("polled") {
            seen.extend(records.into_iter().map(|received| {
                let payload = received.record.payload.unwrap_or_default();
                String::from_utf8_lossy(&payload).into_owned()
            }));
        }
    }
    let copies = seen.len().saturating_sub(KEYS * PER_KEY);
    let most = match how {
        How::AtLeastOnce => WINDOW.get(),
        How::ExactlyOnce => 0,
    };
    assert!(copies <= most, "{case:?}, {how:?}: {copies} copies");
    let mut first = Vec::new();
    for payload in seen {
        if !first.contains(&payload) {
            first.push(payload);
        }
    }
    for key in 0..KEYS {
        let of_key = |payload: &&String| payload.starts_with(&format!("{key}/"));
        let mut published: Vec<_> = first.iter().filter(of_key).cloned().collect();
        if !is_ordered {
            published.sort_unstable();
        }
        let expected: Vec<_> = (0..PER_KEY).map(|n| format!("{key}/{n}")).collect();
        assert_eq!(published, expected, "{case:?}, key {key}");
    }
    assert_eq!(first.len(), KEYS * PER_KEY, "{case:?}: {first:?}");
}
