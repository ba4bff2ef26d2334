//! Relays whose rows are seen exactly once, whatever crashes: in virtual time.

mod chaos;
mod faulty;
mod steps;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::broker::{
    self, Committed, Polled, Start, Subscriber as _, TopicPartition, Topics as _,
    Transactional as _, Transactions,
};
use bowline::error::Kind;
use bowline::message::Message;
use bowline::outbox::relay::{Builder, Config, ExactlyOnce};
use bowline::outbox::{Memory, Relay, Routing, Store};
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

use crate::topics::{enqueue, first_word, numbers};

const NAME: &str = "orders";
const WINDOW: NonZeroUsize = NonZeroUsize::new(4).unwrap();
const LOOK: Duration = Duration::from_millis(5);
/// Larger records are refused.
const MAX_RECORD: usize = 1_000;

fn place() -> TopicPartition {
    TopicPartition::new("place", 0)
}

fn outbox() -> Memory {
    Memory::new().with_routing(Routing::by(first_word))
}

async fn memory() -> broker::Memory {
    let memory = broker::Memory::new().with_max_record(MAX_RECORD);
    for topic in ["place", "here", "ill"] {
        memory.create(topic, NonZeroU32::MIN).await.unwrap();
    }
    memory
}

fn relay<S: Store, T: Transactions>(store: S, broker: T) -> Builder<S, ExactlyOnce<T>> {
    Relay::builder(store, ExactlyOnce::new(broker, NAME, place()))
        .window(WINDOW)
        .lease(Config::LEASE_MIN)
        .poll(LOOK)
        .backoff(Backoff::constant(LOOK))
}

/// Relays until nothing is pending.
async fn drain<S: Store + Clone, T: Transactions>(store: &S, broker: T) {
    let shutdown = Shutdown::new();
    let relay = relay(store.clone(), broker).build().unwrap();
    let drained = async {
        while store.status().await.unwrap().pending > 0 {
            sleep(LOOK).await;
        }
        shutdown.trigger();
    };
    let both = async { tokio::join!(relay.run(shutdown.token()), drained) };
    let (relayed, ()) = timeout(Duration::from_secs(600), both)
        .await
        .expect("everything is published");
    relayed.expect("it only ends when told to");
}

/// A message whose record is too large.
fn large(outbox: &Memory, kind: &'static str, key: &str) {
    let mut tx = outbox.begin();
    let message = Message::new(kind, vec![b'x'; 2 * MAX_RECORD]).with_key(key);
    outbox.enqueue(&mut tx, &message).unwrap();
    tx.commit();
}

/// The payloads in `topic`, in order.
pub(crate) async fn payloads(broker: &broker::Memory, topic: &str) -> Vec<String> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(topic)];
    let group = format!("check-{}", uuid::Uuid::now_v7());
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut seen = Vec::new();
    let many = NonZeroUsize::new(1_000).unwrap();
    while let Ok(polled) = timeout(Duration::from_millis(10), subscriber.poll(many)).await {
        if let Polled::Records(records) = polled.unwrap() {
            seen.extend(records.into_iter().map(|received| {
                let payload = received.record.payload.unwrap_or_default();
                String::from_utf8_lossy(&payload).into_owned()
            }));
        }
    }
    seen
}

/// An outbox goes from one kind of relay to the other and back, and forth again.
#[tokio::test(start_paused = true)]
async fn a_running_outbox_is_taken_over_and_given_back_as_it_is() {
    let (outbox, broker) = (outbox(), memory().await);
    for turn in 0..6 {
        for number in turn * 10..turn * 10 + 10 {
            enqueue(&outbox, "here.event", number);
        }
        if turn % 2 == 1 {
            drain(&outbox, broker.clone()).await;
            continue;
        }
        let relay = Relay::builder(outbox.clone(), broker.clone()).window(WINDOW);
        let relay = relay.build().unwrap();
        while outbox.status().await.unwrap().pending > 0 {
            relay.run_once().await.unwrap();
        }
    }
    assert_eq!(numbers(&broker, "here", 60).await, Vec::from_iter(0..60));
    assert_eq!(payloads(&broker, "here").await.len(), 60);
}

/// The place of another outbox's position would make this one pass over rows that nobody has published.
#[tokio::test(start_paused = true)]
async fn the_name_of_another_outbox_is_refused() {
    let broker = memory().await;
    for is_other in [false, true] {
        let outbox = outbox();
        enqueue(&outbox, "here.event", 1);
        let ran = relay(outbox, broker.clone()).build().unwrap();
        let ran = ran.run_once().await.map(|report| report.published);
        assert_eq!(
            ran.map_err(|error| error.kind()),
            match is_other {
                false => Ok(1),
                true => Err(Kind::Conflict),
            }
        );
    }
}

/// A store that came back from a backup has forgotten its newest leases: what the broker says of it may
/// be about rows that it does not have any more.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_set_back_is_refused() {
    let (outbox, broker) = (outbox(), memory().await);
    enqueue(&outbox, "here.event", 1);
    let first = relay(outbox.clone(), broker.clone()).build().unwrap();
    assert_eq!(first.run_once().await.unwrap().published, 1);
    let mut producer = broker.connect(NAME).await.unwrap();
    let found = producer.position(NAME, &place()).await.unwrap().unwrap();
    assert_eq!(found.next, 1);
    let later = Committed::new(9).with_metadata(found.metadata.unwrap());
    let moved = producer.publish(Vec::new(), NAME, &place(), &later).await;
    assert_eq!(moved.unwrap().len(), 0);
    let refused = first.run_once().await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    let refused = first.run(Shutdown::new().token()).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    // It leaves the lease to whoever is meant to have it.
    assert_eq!(outbox.status().await.unwrap().owner, None);
}

/// What is left of a window has to be told of in little room: the windows become smaller.
#[tokio::test(start_paused = true)]
async fn as_many_rows_go_together_as_the_position_has_room_for() {
    let (outbox, memory) = (outbox(), memory().await);
    for number in 0..60 {
        enqueue(&outbox, "late.event", number);
    }
    for number in 0..20 {
        enqueue(&outbox, "here.event", number);
    }
    let broker = faulty::Broker::new(memory.clone()).with_max_metadata(90);
    let shutdown = Shutdown::new();
    let running = relay(outbox.clone(), broker).window(NonZeroUsize::new(100).unwrap());
    let running = tokio::spawn(running.build().unwrap().run(shutdown.token()));
    assert_eq!(numbers(&memory, "here", 20).await, Vec::from_iter(0..20));
    memory.create("late", NonZeroU32::MIN).await.unwrap();
    assert_eq!(numbers(&memory, "late", 60).await, Vec::from_iter(0..60));
    shutdown.trigger();
    running.await.unwrap().unwrap();
    for (topic, count) in [("here", 20), ("late", 60)] {
        assert_eq!(payloads(&memory, topic).await.len(), count);
    }
}
