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
use crate::broker::{self, Polled, Publisher, Start, Subscriber, Topics};
use crate::outbox::relay::Config;
use crate::outbox::{Relay, Store};
use crate::shutdown::Shutdown;
use crate::testkit::faults::{Fault, Faults};

/// The last of them is that of messages which are due by now, but were to be published later.
const KEYS: usize = 4;
const PER_KEY: usize = 3;
const WINDOW: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const LOOK: Duration = Duration::from_millis(5);

/// At whatever step a relay fails or dies, the next try or the next relay publishes every committed
/// row, in order per key, at most one window of them twice, and nothing that was rolled back.
pub async fn a_relay_loses_nothing_at_any_step<H: Harness>(fresh: &impl AsyncFn() -> H) {
    let counted = Faults::none();
    run(&fresh().await, &counted, None).await;
    let steps = 1..=counted.steps();
    let faults = steps.flat_map(|step| [(step, Fault::Fail), (step, Fault::Hang)]);
    let mut runs: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = faults
        .map(|(step, fault)| {
            let faults = Faults::at(step, fault);
            Box::pin(async move { run(&fresh().await, &faults, Some((step, fault))).await }) as _
        })
        .collect();
    // Each waits for a lease to expire: all wait together.
    poll_fn(|cx| {
        runs.retain_mut(|run| run.as_mut().poll(cx).is_pending());
        if runs.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn run<H: Harness>(harness: &H, faults: &Faults, case: Option<(u64, Fault)>) {
    fill(harness).await;
    let broker = broker::Memory::new();
    let created = broker.create(TOPIC, NonZeroU32::MIN).await;
    created.expect("a new topic");
    let store = harness.store();
    tokio::select! {
        () = relay(faults.wrap(store.clone()), faults.wrap(broker.clone()), store) => {}
        () = crashed(faults, case) => relay(store.clone(), broker.clone(), store).await,
    }
    check(&broker, case, H::ORDERED).await;
}

async fn crashed(faults: &Faults, case: Option<(u64, Fault)>) {
    faults.struck().await;
    if !matches!(case, Some((_, Fault::Hang))) {
        std::future::pending::<()>().await;
    }
}

/// Relays until nothing is pending.
async fn relay<S: Store, P: Publisher>(store: S, publisher: P, outbox: &impl Store) {
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

async fn check(broker: &broker::Memory, case: Option<(u64, Fault)>, is_ordered: bool) {
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
    assert!(copies <= WINDOW.get(), "{case:?}: {copies} copies");
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
