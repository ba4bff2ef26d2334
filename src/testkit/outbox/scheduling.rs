//! Messages that are due later.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::time::sleep;

use super::{
    Harness, LONG, MANY, NONE, ONE, SHORT, enqueue, lease, message, owner, payloads, publish, read,
};
use crate::broker::Record;
use crate::clock::{Clock, SystemClock};
use crate::error::Kind;
use crate::message::MessageId;
use crate::outbox::{Lease, Store};

const HOUR: TimeDelta = TimeDelta::hours(1);

/// A message that is due later is none of the log, and holds up nobody, until it is due by the store's
/// clock; then it is the record that it would have been, at the end of the log.
pub async fn a_message_is_not_read_before_it_is_due<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    assert_eq!(read(harness, &lease, MANY).await.due, None);
    assert_eq!(promote(harness, &lease).await, None);
    schedule(harness, "far", HOUR).await;
    enqueue(harness, &[("next", "key")]).await;
    let next = promote(harness, &lease).await.expect("one is left");
    assert!(next > Duration::from_secs(3_000) && next <= Duration::from_secs(3_600));
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["next"]);
    assert!(!window.entries[0].behind);
    assert!(window.due.expect("one is left") > Duration::from_secs(3_000));
    publish(harness, &lease, &window).await;
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.scheduled), (0, 1));

    let soon = message("soon", "key")
        .with_user("ada")
        .with_header("binary", b"\x00\xff".to_vec());
    let at = (SystemClock.now() + TimeDelta::milliseconds(100)).trunc_subsecs(3);
    let mut tx = harness.begin().await;
    let scheduled = harness.enqueue_at(&mut tx, &soon, at).await;
    scheduled.expect("scheduled");
    harness.commit(tx).await;
    let window = loop {
        let next = promote(harness, &lease).await.expect("one is left");
        let window = read(harness, &lease, MANY).await;
        if !window.entries.is_empty() {
            break window;
        }
        sleep(next).await;
    };
    assert_eq!(payloads(&window), ["soon"]);
    let entry = &window.entries[0];
    assert!(
        entry.created_at >= at,
        "{} is before {at}",
        entry.created_at
    );
    let record = Record::from_message(super::TOPIC, &soon).expect("valid");
    assert_eq!(entry.record, record);
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.scheduled), (1, 1));
}

/// What is due comes in the order of its time, then of writing, whatever the limit.
pub async fn what_is_due_comes_in_the_order_of_its_time<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let mut tx = harness.begin().await;
    let now = SystemClock.now();
    for (payload, ago) in [("c", 1), ("a", 3), ("b", 2), ("bb", 2)] {
        let message = message(payload, payload);
        let at = now - TimeDelta::seconds(ago);
        let scheduled = harness.enqueue_at(&mut tx, &message, at).await;
        scheduled.expect("scheduled");
    }
    harness.commit(tx).await;
    for _ in 0..2 {
        let next = harness.store().promote(&lease, ONE).await;
        assert_eq!(next.expect("ours"), Some(Duration::ZERO), "more is due");
    }
    assert_eq!(payloads(&read(harness, &lease, MANY).await), ["a", "b"]);
    assert_eq!(promote(harness, &lease).await, None);
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["a", "b", "bb", "c"]);
}

/// What is scheduled, or taken back, in a transaction that is rolled back is not.
pub async fn a_scheduled_message_is_taken_back<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let mut tx = harness.begin().await;
    let lost = message("lost", "1");
    let scheduled = harness.enqueue_at(&mut tx, &lost, past()).await;
    scheduled.expect("scheduled");
    assert!(unschedule(harness, &mut tx, lost.id()).await, "in its own");
    let scheduled = harness.enqueue_at(&mut tx, &lost, past()).await;
    scheduled.expect("scheduled");
    drop(tx);
    assert_eq!(promote(harness, &lease).await, None);
    assert_eq!(read(harness, &lease, MANY).await.entries, []);

    let id = schedule(harness, "kept", HOUR).await;
    let mut tx = harness.begin().await;
    assert!(unschedule(harness, &mut tx, &id).await);
    drop(tx);
    assert!(promote(harness, &lease).await.is_some(), "rolled back");
    let mut tx = harness.begin().await;
    assert!(unschedule(harness, &mut tx, &id).await);
    assert!(!unschedule(harness, &mut tx, &id).await, "only once");
    harness.commit(tx).await;
    assert_eq!(promote(harness, &lease).await, None);

    let id = schedule(harness, "due", -HOUR).await;
    promote(harness, &lease).await;
    let mut tx = harness.begin().await;
    assert!(!unschedule(harness, &mut tx, &id).await, "too late");
    drop(tx);
    assert_eq!(payloads(&read(harness, &lease, MANY).await), ["due"]);
}

/// A relay that lost its lease moves nothing.
pub async fn a_lost_lease_promotes_nothing<H: Harness>(harness: &H) {
    let store = harness.store();
    let lost = store.lease(&owner(), SHORT).await.expect("an answer");
    let lost = lost.expect("nobody has it");
    schedule(harness, "due", -HOUR).await;
    sleep(4 * SHORT).await;
    let newest = store.lease(&owner(), LONG).await.expect("an answer");
    let newest = newest.expect("it has expired");
    let late = store.promote(&lost, MANY).await;
    assert_eq!(late.expect_err("fenced").kind(), Kind::Fenced);
    assert_eq!(payloads(&read(harness, &newest, MANY).await), NONE);
    assert_eq!(promote(harness, &newest).await, None);
    assert_eq!(payloads(&read(harness, &newest, MANY).await), ["due"]);
}

/// What no store can hold is refused.
pub async fn a_time_beyond_the_calendar_is_refused<H: Harness>(harness: &H) {
    let mut tx = harness.begin().await;
    for never in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let message = message("never", "1");
        let refused = harness.enqueue_at(&mut tx, &message, never).await;
        assert_eq!(refused.expect_err("refused").kind(), Kind::Invalid);
    }
}

pub(super) fn past() -> DateTime<Utc> {
    SystemClock.now() - HOUR
}

async fn schedule<H: Harness>(harness: &H, payload: &str, wait: TimeDelta) -> MessageId {
    let message = message(payload, "key");
    let mut tx = harness.begin().await;
    let at = SystemClock.now() + wait;
    let scheduled = harness.enqueue_at(&mut tx, &message, at).await;
    scheduled.expect("scheduled");
    harness.commit(tx).await;
    message.id().clone()
}

async fn unschedule<H: Harness>(harness: &H, tx: &mut H::Transaction, id: &MessageId) -> bool {
    harness.unschedule(tx, id).await.expect("an answer")
}

async fn promote<H: Harness>(harness: &H, lease: &Lease) -> Option<Duration> {
    let next = harness.store().promote(lease, MANY).await;
    next.expect("ours")
}
