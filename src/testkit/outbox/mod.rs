//! The conformance suite of outboxes: what every [`Store`] holds, and its `enqueue`.
//!
//! Implement [`Harness`] for an outbox and call [`all`] with a way to make an empty one.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a case reports by panicking"
)]

mod relaying;

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::broker::Record;
use crate::error::{Error, Kind};
use crate::message::Message;
use crate::outbox::{Entry, EntryId, Lease, Settled, Store, Window};

pub use relaying::a_relay_loses_nothing_at_any_step;

/// The topic that a [`Harness`] sends every message to.
pub const TOPIC: &str = "suite";

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// An outbox together with the transactions that it joins.
pub trait Harness {
    /// The outbox.
    type Store: Store + Clone;
    /// The caller's transaction; dropped, it is rolled back.
    type Transaction: Send;

    /// Whether two transactions can write at the same time.
    const CONCURRENT: bool;

    /// The outbox, which sends everything to [`TOPIC`].
    fn store(&self) -> &Self::Store;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Self::Transaction> + Send;

    /// Writes `message` as a part of `tx`.
    fn enqueue(
        &self,
        tx: &mut Self::Transaction,
        message: &Message,
    ) -> impl Future<Output = Result<EntryId, Error>> + Send;

    /// Commits `tx`.
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = ()> + Send;
}

/// Runs every case, each on an empty outbox made by `fresh`.
pub async fn all<H: Harness>(fresh: impl AsyncFn() -> H) {
    only_committed_rows_are_read(&fresh().await).await;
    a_row_is_read_until_it_is_settled(&fresh().await).await;
    rows_of_a_key_keep_their_order(&fresh().await).await;
    a_late_commit_is_read(&fresh().await).await;
    one_of_many_gets_the_lease(&fresh().await).await;
    a_lost_lease_changes_nothing(&fresh().await).await;
    a_released_lease_is_free(&fresh().await).await;
    a_parked_row_holds_its_key(&fresh().await).await;
    a_discarded_row_lets_its_key_go_on(&fresh().await).await;
    only_parked_rows_are_retried_and_discarded(&fresh().await).await;
    a_held_topic_is_left_out(&fresh().await).await;
    the_status_counts(&fresh().await).await;
    a_relay_loses_nothing_at_any_step(&fresh).await;
}

/// A row is there when its transaction is, as the record that the message is.
pub async fn only_committed_rows_are_read<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let mut tx = harness.begin().await;
    let lost = message("lost", "1");
    harness.enqueue(&mut tx, &lost).await.expect("enqueued");
    drop(tx);
    assert_eq!(read(harness, &lease, MANY).await.entries, []);

    let kept = message("kept", "1")
        .with_header("binary", b"\x00\xff".to_vec())
        .with_user("ada");
    let bare = Message::new("suite.bare", b"\x00\xff".to_vec());
    let empty = Message::new("suite.bare", Vec::new());
    let tombstone = message("kept", "1").without_payload();
    let messages = [&kept, &bare, &empty, &tombstone];
    let mut tx = harness.begin().await;
    let mut ids = Vec::new();
    for message in messages {
        ids.push(harness.enqueue(&mut tx, message).await.expect("enqueued"));
    }
    harness.commit(tx).await;
    let entries = read(harness, &lease, MANY).await.entries;
    let read: Vec<_> = entries.iter().map(|entry| entry.id).collect();
    assert_eq!(read, ids);
    for (entry, message) in entries.iter().zip(messages) {
        let record = Record::from_message(TOPIC, message).expect("valid");
        assert_eq!(entry.record, record);
    }
}

/// A row comes again, counting attempts, until it is settled as published.
pub async fn a_row_is_read_until_it_is_settled<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let first = read(harness, &lease, MANY).await;
    let second = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&second), ["one", "two"]);
    for (before, after) in first.entries.iter().zip(&second.entries) {
        assert_eq!((after.id, after.attempts), (before.id, before.attempts + 1));
    }
    let published = [Settled::Published(second.entries[0].id)];
    let settled = harness.store().settle(&lease, &second, &published).await;
    settled.expect("ours");
    let rest = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&rest), ["two"]);
    publish(harness, &lease, &rest).await;
    assert_eq!(read(harness, &lease, MANY).await.entries, []);
}

/// Rows of a key come in the order in which they were enqueued, whatever the limit.
pub async fn rows_of_a_key_keep_their_order<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for name in &names {
        enqueue(harness, &[(name, "same")]).await;
    }
    let limit = NonZeroUsize::new(3).expect("not 0");
    let mut seen = Vec::new();
    loop {
        let window = read(harness, &lease, limit).await;
        if window.entries.is_empty() {
            break;
        }
        assert!(window.entries.len() <= limit.get());
        seen.extend(payloads(&window));
        publish(harness, &lease, &window).await;
    }
    assert_eq!(seen, names);
}

/// A transaction that began first and commits last is not passed over.
pub async fn a_late_commit_is_read<H: Harness>(harness: &H) {
    if !H::CONCURRENT {
        return;
    }
    let lease = lease(harness).await;
    let mut late = harness.begin().await;
    let message = message("late", "1");
    harness.enqueue(&mut late, &message).await.expect("queued");
    enqueue(harness, &[("early", "2")]).await;
    let mut seen = Vec::new();
    let mut late = Some(late);
    for _ in 0..3 {
        let window = read(harness, &lease, MANY).await;
        seen.extend(payloads(&window));
        publish(harness, &lease, &window).await;
        if let Some(late) = late.take() {
            harness.commit(late).await;
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["early", "late"]);
}

/// Of 20 relays exactly one gets the lease, and keeps its epoch when it renews it.
pub async fn one_of_many_gets_the_lease<H: Harness>(harness: &H) {
    let mut asked = JoinSet::new();
    for _ in 0..20 {
        let store = harness.store().clone();
        asked.spawn(async move { store.lease(&owner(), LONG).await.expect("an answer") });
    }
    let mut leases: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    assert_eq!(leases.len(), 1);
    let lease = leases.remove(0);
    let renewed = harness.store().lease(&lease.owner, LONG).await;
    assert_eq!(renewed.expect("an answer"), Some(lease));
}

/// Once its lease is taken over, a relay can neither read nor settle nor release.
pub async fn a_lost_lease_changes_nothing<H: Harness>(harness: &H) {
    let store = harness.store();
    enqueue(harness, &[("one", "1")]).await;
    let lost = store.lease(&owner(), SHORT).await.expect("an answer");
    let lost = lost.expect("nobody has it");
    let window = read(harness, &lost, MANY).await;
    tokio::time::sleep(4 * SHORT).await;
    let newest = lease(harness).await;
    assert!(newest.epoch > lost.epoch);

    let published = [Settled::Published(window.entries[0].id)];
    let read_late = store.read(&lost, MANY, &[]).await.map(drop);
    let settled_late = store.settle(&lost, &window, &published).await;
    let released_late = store.release(&lost).await;
    for late in [read_late, settled_late, released_late] {
        assert_eq!(late.expect_err("fenced").kind(), Kind::Fenced);
    }
    let other = store.lease(&owner(), LONG).await.expect("an answer");
    assert_eq!(other, None);
    let again = read(harness, &newest, MANY).await;
    assert_eq!(payloads(&again), ["one"]);
    let (before, after) = (window.entries[0].attempts, again.entries[0].attempts);
    assert_eq!(after, before + 1, "the refused read counted no attempt");
}

/// A lease that was given up is somebody else's at once, in a new epoch.
pub async fn a_released_lease_is_free<H: Harness>(harness: &H) {
    let first = lease(harness).await;
    harness.store().release(&first).await.expect("ours");
    let second = lease(harness).await;
    assert!(second.epoch > first.epoch);
    let late = harness.store().release(&first).await;
    assert_eq!(late.expect_err("given up").kind(), Kind::Fenced);
}

/// Later rows of a parked row's key wait, other keys go on, and a retry goes on in order.
pub async fn a_parked_row_holds_its_key<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("other", "2"), ("next", "1")]).await;
    let bad = park_first(harness, &lease).await;
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["other"]);
    publish(harness, &lease, &window).await;
    let parked = harness.store().parked(MANY).await.expect("parked");
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].entry.id, bad);
    assert_eq!(payload(&parked[0].entry), "bad");
    assert_eq!(parked[0].reason, "too large");

    harness.store().retry(bad).await.expect("parked");
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["bad", "next"]);
    assert_eq!(harness.store().parked(MANY).await.expect("parked"), []);
}

/// The key of a discarded row goes on with the next one.
pub async fn a_discarded_row_lets_its_key_go_on<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("next", "1")]).await;
    let bad = park_first(harness, &lease).await;
    assert_eq!(read(harness, &lease, MANY).await.entries, []);
    harness.store().discard(bad).await.expect("parked");
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["next"]);
}

/// A row that is not parked is not found by an operator.
pub async fn only_parked_rows_are_retried_and_discarded<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1")]).await;
    let window = read(harness, &lease, MANY).await;
    for id in [window.entries[0].id, EntryId::new(i64::MAX)] {
        let (retried, discarded) = (
            harness.store().retry(id).await,
            harness.store().discard(id).await,
        );
        for refused in [retried, discarded] {
            assert_eq!(refused.expect_err("not parked").kind(), Kind::NotFound);
        }
    }
    assert_eq!(payloads(&read(harness, &lease, MANY).await), ["one"]);
}

/// Rows of a topic that is held are left out, whatever waits for it, and come later.
pub async fn a_held_topic_is_left_out<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let held = [TOPIC.into()];
    let window = harness.store().read(&lease, MANY, &held).await;
    assert_eq!(window.expect("a window").entries, []);
    let other = ["other's".into(), "'".into()];
    let window = harness.store().read(&lease, MANY, &other).await;
    assert_eq!(payloads(&window.expect("a window")), ["one", "two"]);
}

/// The status tells waiting rows from parked ones, and who relays.
pub async fn the_status_counts<H: Harness>(harness: &H) {
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.parked), (0, 0));
    assert_eq!((status.oldest, status.owner), (None, None));

    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("next", "1"), ("other", "2")]).await;
    park_first(harness, &lease).await;
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.parked), (2, 1));
    assert!(status.oldest.is_some());
    assert_eq!(
        (status.owner, status.epoch),
        (Some(lease.owner), lease.epoch)
    );
}

fn owner() -> String {
    Uuid::now_v7().to_string()
}

fn message(payload: &str, key: &str) -> Message {
    Message::new("suite.case", payload.to_owned()).with_key(key)
}

fn payload(entry: &Entry) -> String {
    let payload = entry.record.payload.as_deref().expect("a payload");
    String::from_utf8_lossy(payload).into_owned()
}

fn payloads(window: &Window) -> Vec<String> {
    window.entries.iter().map(payload).collect()
}

async fn lease<H: Harness>(harness: &H) -> Lease {
    let lease = harness.store().lease(&owner(), LONG).await;
    lease.expect("an answer").expect("nobody has it")
}

/// Enqueues messages of these payloads and keys in one transaction.
async fn enqueue<H: Harness>(harness: &H, messages: &[(&str, &str)]) {
    let mut tx = harness.begin().await;
    for (payload, key) in messages {
        let message = message(payload, key);
        harness.enqueue(&mut tx, &message).await.expect("enqueued");
    }
    harness.commit(tx).await;
}

async fn read<H: Harness>(harness: &H, lease: &Lease, limit: NonZeroUsize) -> Window {
    harness
        .store()
        .read(lease, limit, &[])
        .await
        .expect("a window")
}

async fn publish<H: Harness>(harness: &H, lease: &Lease, window: &Window) {
    let published = window
        .entries
        .iter()
        .map(|entry| Settled::Published(entry.id));
    let published: Vec<_> = published.collect();
    let settled = harness.store().settle(lease, window, &published).await;
    settled.expect("ours");
}

async fn park_first<H: Harness>(harness: &H, lease: &Lease) -> EntryId {
    let window = read(harness, lease, MANY).await;
    let id = window.entries[0].id;
    let parked = [Settled::Parked(id, "too large".to_owned())];
    let settled = harness.store().settle(lease, &window, &parked).await;
    settled.expect("ours");
    id
}
