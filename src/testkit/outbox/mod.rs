//! The conformance suite of outboxes: what every [`Store`] holds, and its `enqueue`.
//!
//! Implement [`Harness`] for an outbox and call [`all`] with a way to make an empty one.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a case reports by panicking"
)]

mod aside;
mod operating;
mod progress;
mod relaying;
mod scheduling;
mod unordered;

use std::future::Future;
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::broker::Record;
use crate::error::{Error, Kind};
use crate::message::{Message, MessageId};
use crate::outbox::{Entry, EntryId, Lease, Settled, Store, Window};

pub use aside::{
    a_discarded_row_lets_its_key_go_on, a_parked_row_holds_its_key,
    what_waits_aside_keeps_the_order_of_its_key,
};
pub use operating::{
    a_halted_outbox_is_not_relayed, a_row_parked_alone_lets_its_key_go_on,
    a_row_that_ends_its_relays_is_suspected, a_row_that_halts_is_parked,
    a_row_that_is_retried_is_suspected_no_more, owners_that_end_are_counted,
};
pub use progress::{
    the_position_tells_under_which_lease_it_was_moved,
    what_is_left_of_a_window_is_enough_to_settle_it, windows_are_settled_as_one,
};
pub use relaying::{a_relay_doubles_nothing_at_any_step, a_relay_loses_nothing_at_any_step};
pub use scheduling::{
    a_lost_lease_promotes_nothing, a_message_is_not_read_before_it_is_due,
    a_scheduled_message_is_taken_back, a_time_beyond_the_calendar_is_refused,
    what_is_due_comes_in_the_order_of_its_time,
};
pub use unordered::{
    a_parked_row_keeps_nobody_waiting, relays_side_by_side_share_the_rows,
    what_is_in_hand_comes_back_with_the_lease,
};

/// The topic that a [`Harness`] sends every message to.
pub const TOPIC: &str = "suite";

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);
const ONE: NonZeroUsize = NonZeroUsize::MIN;
const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();
const NONE: [&str; 0] = [];

/// An outbox together with the transactions that it joins.
pub trait Harness {
    /// The outbox.
    type Store: Store + Clone;
    /// The caller's transaction; dropped, it is rolled back.
    type Transaction: Send;

    /// Whether two transactions can write at the same time.
    const CONCURRENT: bool;
    /// Whether rows of a key keep their order, and one relay works at a time; else any number work side by
    /// side.
    const ORDERED: bool = true;

    /// The outbox, which sends everything to [`TOPIC`].
    fn store(&self) -> &Self::Store;

    /// Begins a transaction.
    fn begin(&self) -> impl Future<Output = Self::Transaction> + Send;

    /// Writes `message` as a part of `tx`.
    fn enqueue(
        &self,
        tx: &mut Self::Transaction,
        message: &Message,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes `message` as a part of `tx`, to be due at `at`.
    fn enqueue_at(
        &self,
        tx: &mut Self::Transaction,
        message: &Message,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the scheduled message `id` back, as a part of `tx`; whether there was one.
    fn unschedule(
        &self,
        tx: &mut Self::Transaction,
        id: &MessageId,
    ) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Commits `tx`.
    fn commit(&self, tx: Self::Transaction) -> impl Future<Output = ()> + Send;
}

/// Runs every case, each on an empty outbox made by `fresh`.
pub async fn all<H: Harness>(fresh: impl AsyncFn() -> H) {
    only_committed_rows_are_read(&fresh().await).await;
    a_row_is_read_until_it_is_settled(&fresh().await).await;
    an_answer_is_needed_for_each_row(&fresh().await).await;
    rows_of_a_key_keep_their_order(&fresh().await).await;
    a_late_commit_is_read(&fresh().await).await;
    a_released_lease_is_free(&fresh().await).await;
    only_parked_rows_are_retried_and_discarded(&fresh().await).await;
    a_held_topic_is_left_out(&fresh().await).await;
    the_status_counts(&fresh().await).await;
    a_message_is_not_read_before_it_is_due(&fresh().await).await;
    what_is_due_comes_in_the_order_of_its_time(&fresh().await).await;
    a_scheduled_message_is_taken_back(&fresh().await).await;
    a_lost_lease_promotes_nothing(&fresh().await).await;
    a_time_beyond_the_calendar_is_refused(&fresh().await).await;
    a_row_parked_alone_lets_its_key_go_on(&fresh().await).await;
    a_halted_outbox_is_not_relayed(&fresh().await).await;
    a_row_that_halts_is_parked(&fresh().await).await;
    a_relay_loses_nothing_at_any_step(&fresh).await;
    if H::ORDERED {
        reading_ahead_goes_on_after_a_window(&fresh().await).await;
        one_of_many_gets_the_lease(&fresh().await).await;
        a_lost_lease_changes_nothing(&fresh().await).await;
        a_parked_row_holds_its_key(&fresh().await).await;
        a_discarded_row_lets_its_key_go_on(&fresh().await).await;
        what_waits_aside_keeps_the_order_of_its_key(&fresh().await).await;
        owners_that_end_are_counted(&fresh().await).await;
        a_row_that_ends_its_relays_is_suspected(&fresh().await).await;
        a_row_that_is_retried_is_suspected_no_more(&fresh().await).await;
        the_position_tells_under_which_lease_it_was_moved(&fresh().await).await;
        what_is_left_of_a_window_is_enough_to_settle_it(&fresh().await).await;
        windows_are_settled_as_one(&fresh().await).await;
        a_relay_doubles_nothing_at_any_step(&fresh).await;
    } else {
        relays_side_by_side_share_the_rows(&fresh().await).await;
        what_is_in_hand_comes_back_with_the_lease(&fresh().await).await;
        a_parked_row_keeps_nobody_waiting(&fresh().await).await;
    }
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
    for message in messages {
        harness.enqueue(&mut tx, message).await.expect("enqueued");
    }
    harness.commit(tx).await;
    let entries = read(harness, &lease, MANY).await.entries;
    assert_eq!(entries.len(), messages.len());
    assert!(entries.is_sorted_by_key(|entry| entry.id));
    for (entry, message) in entries.iter().zip(messages) {
        let record = Record::from_message(TOPIC, message).expect("valid");
        assert_eq!(entry.record, record);
        assert!(!entry.behind && entry.unreadable.is_none());
    }
}

/// A row comes again until it is settled as published, and no more then.
pub async fn a_row_is_read_until_it_is_settled<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let first = read(harness, &lease, ONE).await;
    let second = read(harness, &lease, ONE).await;
    assert_eq!(payloads(&second), ["one"]);
    assert_eq!(first.entries, second.entries);
    publish(harness, &lease, &second).await;
    let rest = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&rest), ["two"]);
    publish(harness, &lease, &rest).await;
    assert_eq!(read(harness, &lease, MANY).await.entries, []);
    enqueue(harness, &[("three", "1")]).await;
    assert_eq!(payloads(&read(harness, &lease, MANY).await), ["three"]);
}

/// The next window may be read before the one before it is settled; settled, the log goes on there.
pub async fn reading_ahead_goes_on_after_a_window<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "1"), ("three", "2")]).await;
    enqueue(harness, &[("four", "1")]).await;
    let first = read(harness, &lease, ONE).await;
    let ahead = read_from(harness, &lease, &first, ONE).await;
    assert_eq!(
        (payloads(&first), payloads(&ahead)),
        (vec!["one".to_owned()], vec!["two".to_owned()])
    );
    publish(harness, &lease, &first).await;
    let rest = read_from(harness, &lease, &ahead, MANY).await;
    assert_eq!(payloads(&rest), ["three", "four"]);
    // Nothing of what was only read is settled.
    assert_eq!(
        payloads(&read(harness, &lease, MANY).await),
        ["two", "three", "four"]
    );
    publish(harness, &lease, &ahead).await;
    publish(harness, &lease, &rest).await;
    assert_eq!(read(harness, &lease, MANY).await.entries, []);
}

/// A window is settled as a whole.
pub async fn an_answer_is_needed_for_each_row<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let window = read(harness, &lease, MANY).await;
    let store = harness.store();
    let settled = store.settle(&lease, &window, &[Settled::Published]).await;
    assert_eq!(settled.expect_err("too few").kind(), Kind::Invalid);
    assert_eq!(payloads(&read(harness, &lease, MANY).await), ["one", "two"]);
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

    let published = [Settled::Published];
    let read_late = store.read(&lost, None, MANY).await.map(drop);
    let aside_late = store.set_aside(&lost, &[], MANY).await.map(drop);
    let settled_late = store.settle(&lost, &window, &published).await;
    let released_late = store.release(&lost).await;
    for late in [read_late, aside_late, settled_late, released_late] {
        assert_eq!(late.expect_err("fenced").kind(), Kind::Fenced);
    }
    let other = store.lease(&owner(), LONG).await.expect("an answer");
    assert_eq!(other, None);
    let again = read(harness, &newest, MANY).await;
    assert_eq!(payloads(&again), ["one"]);
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

/// A row that is not parked is not found by an operator.
pub async fn only_parked_rows_are_retried_and_discarded<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let window = read(harness, &lease, MANY).await;
    let answers = [Settled::Aside, Settled::Published];
    settle(harness, &lease, &window, &answers).await;
    let ids = window.entries.iter().map(|entry| entry.id);
    for id in ids.chain([EntryId::new(i64::MAX)]) {
        let (retried, discarded) = (
            harness.store().retry(id).await,
            harness.store().discard(id).await,
        );
        for refused in [retried, discarded] {
            assert_eq!(refused.expect_err("not parked").kind(), Kind::NotFound);
        }
    }
    assert_eq!(payloads(&set_aside(harness, &lease).await), ["one"]);
}

/// Rows of a topic that is held are left out, whatever waits for it, and come later.
pub async fn a_held_topic_is_left_out<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let window = read(harness, &lease, MANY).await;
    settle(harness, &lease, &window, &[Settled::Aside, Settled::Aside]).await;
    let held = [TOPIC.into()];
    let window = harness.store().set_aside(&lease, &held, MANY).await;
    assert_eq!(window.expect("a window").entries, []);
    let other = ["other's".into(), "'".into()];
    let window = harness.store().set_aside(&lease, &other, MANY).await;
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
    enqueue(harness, &[("more", "2")]).await;
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.aside, status.parked), (2, 1, 1));
    // Without order it stops none.
    assert_eq!(status.parked_keys, u64::from(H::ORDERED));
    assert_eq!(status.halted, None);
    assert!(status.oldest.is_some());
    assert_eq!(status.epoch, lease.epoch);
    assert_eq!(status.owner, H::ORDERED.then_some(lease.owner));
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
    let window = harness.store().read(lease, None, limit).await;
    window.expect("a window")
}

async fn read_from<H: Harness>(
    harness: &H,
    lease: &Lease,
    after: &Window,
    limit: NonZeroUsize,
) -> Window {
    let window = harness
        .store()
        .read(lease, after.next.as_ref(), limit)
        .await;
    window.expect("a window")
}

async fn set_aside<H: Harness>(harness: &H, lease: &Lease) -> Window {
    let window = harness.store().set_aside(lease, &[], MANY).await;
    window.expect("a window")
}

async fn settle<H: Harness>(harness: &H, lease: &Lease, window: &Window, settled: &[Settled]) {
    let settled = harness.store().settle(lease, window, settled).await;
    settled.expect("ours");
}

async fn publish<H: Harness>(harness: &H, lease: &Lease, window: &Window) {
    let published = vec![Settled::Published; window.entries.len()];
    settle(harness, lease, window, &published).await;
}

/// Parks the first row; what is behind it waits aside, the rest is published.
async fn park_first<H: Harness>(harness: &H, lease: &Lease) -> EntryId {
    let window = read(harness, lease, MANY).await;
    let first = &window.entries[0];
    let answers = window.entries.iter().map(|entry| {
        if entry.id == first.id {
            Settled::Parked("too large".to_owned())
        } else if entry.ordering_key() == first.ordering_key() {
            Settled::Aside
        } else {
            Settled::Published
        }
    });
    let answers: Vec<_> = answers.collect();
    settle(harness, lease, &window, &answers).await;
    first.id
}
