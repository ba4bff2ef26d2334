//! What is no good when it is enqueued, read or published: each is a typed error that says what is wrong, and
//! all else goes on.
//!
//! | what | what becomes of it | shown here, or in |
//! |---|---|---|
//! | a message that no reader could read | refused by `enqueue`; the transaction goes on | here |
//! | a type for which there is no topic | the same; written by another program it is parked | here; `foreign.rs` |
//! | a record above the publisher's limit | parked; its key waits behind it | here |
//! | a record that only Kafka finds too large | the same | here; `../kafka/refusals.rs` |
//! | a topic that Kafka does not have | set aside until it is there | here; `topics.rs`, `ill.rs` |
//! | headers that cannot be read | parked; its key waits behind it | here; `queue.rs` |
//! | a payload that is `NULL` | a tombstone | here |
//! | a time that is none | published | here |
//! | text that is none, in SQLite | published or parked | `foreign.rs` |
//! | tables that were never made | `enqueue` fails and the relay ends | here |
//! | tables that are dropped under a relay | it ends | here; `schema.rs` |
//! | tables that it has no right to | it ends | `schema.rs` |
//! | tables of another version | the relay ends; in SQLite `migrate` refuses | here; `schema.rs` |
//! | a sequence with a cache | `migrate` fails and the relay ends | `schema.rs` |
//! | a database that may only be read | `enqueue` fails and the relay ends | here |
//! | a record over which the publisher panics, or its process ends | parked | `poison.rs`, the crash tests |

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{Memory, Polled, Start, Subscriber, Topics as _};
use bowline::error::{Chain, Error, Kind};
use bowline::message::Message;
use bowline::outbox::{self, Relay, Routing, Store};
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// An outbox that sends what begins with `order.` to the topic `order`, and knows no other.
trait Outbox {
    type Store: Store + Clone;

    fn store(&self) -> &Self::Store;

    /// Enqueues `messages` in one transaction, which is committed; what `enqueue` said to each.
    async fn enqueue(&self, messages: &[Message]) -> Vec<Result<(), Error>>;
}

fn routing() -> Routing {
    Routing::by(|message| {
        let word = message.kind().split('.').next()?;
        (word == "order").then(|| word.into())
    })
}

struct InMemory(outbox::Memory);

impl InMemory {
    fn new() -> Self {
        Self(outbox::Memory::new().with_routing(routing()))
    }
}

impl Outbox for InMemory {
    type Store = outbox::Memory;

    fn store(&self) -> &outbox::Memory {
        &self.0
    }

    async fn enqueue(&self, messages: &[Message]) -> Vec<Result<(), Error>> {
        let mut tx = self.0.begin();
        let enqueue = |message| self.0.enqueue(&mut tx, message);
        let said = messages.iter().map(enqueue).collect();
        tx.commit();
        said
    }
}

/// With this key and payload.
fn order(key: &str, payload: &'static str) -> Message {
    Message::new("order.created", payload).with_key(key)
}

/// All of these are taken.
async fn enqueue(outbox: &impl Outbox, messages: &[Message]) {
    for said in outbox.enqueue(messages).await {
        said.unwrap();
    }
}

/// Relays until so many wait.
async fn relay(store: &(impl Store + Clone), broker: &Memory, left: u64) {
    let relay = Relay::builder(store.clone(), broker.clone());
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    until_left(store, left).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

async fn until_left(store: &impl Store, left: u64) {
    let drained = async {
        while store.status().await.unwrap().pending != left {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, drained).await.expect("the relay goes on");
}

/// The payloads that are in `topic` when a relay has run until so many wait.
async fn relayed(store: &(impl Store + Clone), left: u64) -> Vec<String> {
    let broker = Memory::new();
    broker.create("order", NonZeroU32::MIN).await.unwrap();
    relay(store, &broker, left).await;
    let mut subscriber = broker.subscriber();
    payloads(&mut subscriber, "order", 0, Duration::from_millis(200)).await
}

/// So many payloads that are in `topic`, and those that come within `quiet` then; `NULL` for a tombstone.
async fn payloads(
    subscriber: &mut impl Subscriber,
    topic: &str,
    count: usize,
    quiet: Duration,
) -> Vec<String> {
    let topics = [Arc::from(topic)];
    let group = format!("check-{topic}");
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut payloads = Vec::new();
    loop {
        let patience = if payloads.len() < count {
            PATIENCE
        } else {
            quiet
        };
        let Ok(polled) = timeout(patience, subscriber.poll(MANY)).await else {
            return payloads;
        };
        if let Polled::Records(records) = polled.unwrap() {
            payloads.extend(records.into_iter().map(|received| {
                let payload = received.record.payload;
                payload.map_or_else(
                    || "NULL".to_owned(),
                    |payload| String::from_utf8_lossy(&payload).into_owned(),
                )
            }));
        }
    }
}

/// Why a relay ends.
async fn ends(store: &(impl Store + Clone)) -> Error {
    let relay = Relay::builder(store.clone(), Memory::new());
    let relay = relay.build().unwrap().run(Shutdown::new().token());
    let ended = timeout(PATIENCE, relay).await;
    ended.expect("it does not wait").unwrap_err()
}

fn says(error: &Error, kind: Kind, detail: &str) {
    let text = Chain(error).to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(detail), "{text}, wanted {detail}");
}

/// The one row that is parked, and why.
async fn is_parked_alone_because(store: &impl Store, detail: &str) -> outbox::Parked {
    let mut parked = store.parked(MANY).await.unwrap();
    assert_eq!(parked.len(), 1, "{parked:?}");
    let reason = &parked[0].reason;
    assert!(reason.contains(detail), "{reason}, wanted {detail}");
    parked.remove(0)
}

/// The caller may go on with its transaction, and decide what the refusal means for it.
async fn what_is_refused_by_enqueue_harms_nothing_else(outbox: &impl Outbox) {
    let unroutable = Message::new("refund.made", "lost").with_key("1");
    let messages = [
        order("1", "one"),
        order("1", "lost")
            .with_source("my service")
            .with_user("a\nb"),
        unroutable,
        order("1", "two"),
    ];
    let said = outbox.enqueue(&messages).await;
    assert!(said[0].is_ok() && said[3].is_ok(), "{said:?}");
    let unreadable = said[1].as_ref().unwrap_err();
    for detail in [
        "ce_source is my service, allowed: a URI or a path",
        "ce_userid is a\\nb, allowed: a text without control characters",
    ] {
        says(unreadable, Kind::Invalid, detail);
    }
    let detail = "no topic is set for messages of type refund.made";
    says(said[2].as_ref().unwrap_err(), Kind::Invalid, detail);
    assert_eq!(relayed(outbox.store(), 0).await, ["one", "two"]);
    assert_eq!(outbox.store().parked(MANY).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_refused_by_enqueue_harms_nothing_else_in_memory() {
    what_is_refused_by_enqueue_harms_nothing_else(&InMemory::new()).await;
}

/// The databases, which others can reach too.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod stored;

#[cfg(all(feature = "kafka", feature = "postgres"))]
mod kafka;
