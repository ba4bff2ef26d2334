//! What holds for outboxes whose relays work side by side.

use super::{Harness, MANY, NONE, ONE};
use super::{enqueue, lease, park_first, payloads, publish, read, set_aside};
use crate::error::Kind;
use crate::outbox::{Settled, Store};

/// Each relay has rows of its own in hand, and all of them are published once.
pub async fn relays_side_by_side_share_the_rows<H: Harness>(harness: &H) {
    let (one, other) = (lease(harness).await, lease(harness).await);
    assert_ne!(one.epoch, other.epoch);
    enqueue(harness, &[("1", "1"), ("2", "1"), ("3", "2")]).await;
    let first = read(harness, &one, ONE).await;
    let rest = read(harness, &other, MANY).await;
    let mut seen = [payloads(&first), payloads(&rest)].concat();
    seen.sort_unstable();
    assert_eq!(seen, ["1", "2", "3"]);
    assert_eq!(harness.store().status().await.expect("a status").pending, 3);
    publish(harness, &other, &rest).await;
    publish(harness, &one, &first).await;
    assert_eq!(harness.store().status().await.expect("a status").pending, 0);
}

/// What a relay had in hand when its lease ended is somebody else's, and it can settle it no more.
pub async fn what_is_in_hand_comes_back_with_the_lease<H: Harness>(harness: &H) {
    let (one, other) = (lease(harness).await, lease(harness).await);
    enqueue(harness, &[("1", "1"), ("2", "2")]).await;
    let window = read(harness, &one, MANY).await;
    assert_eq!(payloads(&read(harness, &other, MANY).await), NONE);
    harness.store().release(&one).await.expect("ours");
    let answers = [Settled::Published, Settled::Published];
    let late = harness.store().settle(&one, &window, &answers).await;
    assert_eq!(late.expect_err("it has ended").kind(), Kind::Fenced);
    let window = read(harness, &other, MANY).await;
    assert_eq!(payloads(&window), ["1", "2"]);
    publish(harness, &other, &window).await;
    assert_eq!(payloads(&read(harness, &other, MANY).await), NONE);
}

/// Later rows of a parked row's key are published; it comes again when it is retried, and not when it is
/// discarded.
pub async fn a_parked_row_keeps_nobody_waiting<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("next", "1"), ("other", "2")]).await;
    let bad = park_first(harness, &lease).await;
    enqueue(harness, &[("last", "1")]).await;
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["last"]);
    assert!(!window.entries[0].behind && window.aside);
    publish(harness, &lease, &window).await;
    let window = set_aside(harness, &lease).await;
    assert_eq!(payloads(&window), ["next"]);
    publish(harness, &lease, &window).await;
    let parked = harness.store().parked(MANY).await.expect("parked");
    assert_eq!((parked[0].entry.id, parked.len()), (bad, 1));
    harness.store().retry(bad).await.expect("parked");
    let window = set_aside(harness, &lease).await;
    assert_eq!(payloads(&window), ["bad"]);
    let settled = [Settled::Parked("still".to_owned())];
    super::settle(harness, &lease, &window, &settled).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), NONE);
    harness.store().discard(bad).await.expect("parked");
    let status = harness.store().status().await.expect("a status");
    assert_eq!((status.pending, status.parked), (0, 0));
}
