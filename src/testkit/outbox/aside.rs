//! What holds for the keys of rows that were set aside, where keys keep their order.

use super::{
    Harness, MANY, NONE, enqueue, lease, park_first, payload, payloads, publish, read, set_aside,
    settle,
};
use crate::outbox::{Settled, Store};

/// Later rows of a parked row's key wait, other keys go on, and a retry goes on in order.
pub async fn a_parked_row_holds_its_key<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("other", "2"), ("next", "1")]).await;
    let bad = park_first(harness, &lease).await;
    enqueue(harness, &[("last", "1"), ("another", "2")]).await;
    let window = read(harness, &lease, MANY).await;
    assert_eq!(payloads(&window), ["last", "another"]);
    let behind: Vec<_> = window.entries.iter().map(|entry| entry.behind).collect();
    assert_eq!(behind, [true, false]);
    let answers = [Settled::Aside, Settled::Published];
    settle(harness, &lease, &window, &answers).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), NONE);
    let parked = harness.store().parked(MANY).await.expect("parked");
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].entry.id, bad);
    assert_eq!(payload(&parked[0].entry), "bad");
    assert_eq!(parked[0].reason, "too large");

    harness.store().retry(bad).await.expect("parked");
    assert_eq!(harness.store().parked(MANY).await.expect("parked"), []);
    let window = set_aside(harness, &lease).await;
    assert_eq!(payloads(&window), ["bad", "next", "last"]);
    publish(harness, &lease, &window).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), NONE);
    enqueue(harness, &[("after", "1")]).await;
    let window = read(harness, &lease, MANY).await;
    assert!(!window.entries[0].behind && !window.aside);
}

/// The key of a discarded row goes on with the next one.
pub async fn a_discarded_row_lets_its_key_go_on<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("other", "2"), ("next", "1")]).await;
    let bad = park_first(harness, &lease).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), NONE);
    harness.store().discard(bad).await.expect("parked");
    let window = set_aside(harness, &lease).await;
    assert_eq!(payloads(&window), ["next"]);
}

/// What waits aside comes in the order of the log, and goes when it is published; a row that fails for
/// good while it waits parks its key.
pub async fn what_waits_aside_keeps_the_order_of_its_key<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "1"), ("three", "1")]).await;
    let window = read(harness, &lease, MANY).await;
    let aside = [Settled::Aside, Settled::Aside, Settled::Aside];
    settle(harness, &lease, &window, &aside).await;
    let mut waits = set_aside(harness, &lease).await;
    assert_eq!(payloads(&waits), ["one", "two", "three"]);
    assert!(waits.next.is_none() && read(harness, &lease, MANY).await.aside);
    waits.entries.truncate(2);
    let parked = [Settled::Published, Settled::Parked("why".to_owned())];
    settle(harness, &lease, &waits, &parked).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), NONE);
    assert!(
        !read(harness, &lease, MANY).await.aside,
        "it waits for an operator"
    );
    let id = waits.entries[1].id;
    harness.store().discard(id).await.expect("parked");
    assert_eq!(payloads(&set_aside(harness, &lease).await), ["three"]);
}
