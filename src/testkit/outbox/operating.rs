//! What operators ask for, and what is remembered of relays that crash.

use std::time::Duration;

use super::{
    Harness, LONG, MANY, NONE, ONE, SHORT, enqueue, lease, owner, payloads, publish, read,
    set_aside, settle,
};
use crate::error::Kind;
use crate::outbox::{Crashes, Lease, Settled, Store};

const TTL: Duration = Duration::from_millis(300);

/// A row that is parked alone stops nobody, and waits by itself when it is retried.
pub async fn a_row_parked_alone_lets_its_key_go_on<H: Harness>(harness: &H) {
    let store = harness.store();
    let ours = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("next", "1")]).await;
    let window = read(harness, &ours, MANY).await;
    let bad = window.entries[0].id;
    let answers = [
        Settled::ParkedAlone("too large".to_owned()),
        Settled::Published,
    ];
    settle(harness, &ours, &window, &answers).await;
    enqueue(harness, &[("last", "1")]).await;
    let window = read(harness, &ours, MANY).await;
    assert!(!window.entries[0].behind && !window.aside);
    let status = store.status().await.expect("a status");
    assert_eq!((status.parked, status.parked_keys), (1, 0));
    let parked = store.parked(MANY).await.expect("parked");
    assert!(parked[0].entry.alone && parked[0].reason == "too large");

    // One that waits at the same time keeps the order of the key without it.
    settle(harness, &ours, &window, &[Settled::Aside]).await;
    assert_eq!(payloads(&set_aside(harness, &ours).await), ["last"]);
    store.retry(bad).await.expect("parked");
    let mut waits = set_aside(harness, &ours).await;
    assert_eq!(payloads(&waits), ["bad", "last"]);
    assert_eq!(waits.entries[0].ordering_key(), None);
    waits.entries.truncate(1);
    let parked = [Settled::Parked("still".to_owned())];
    settle(harness, &ours, &waits, &parked).await;
    let waits = set_aside(harness, &ours).await;
    assert_eq!(payloads(&waits), ["last"], "it stops nobody again");
    publish(harness, &ours, &waits).await;
    store.discard(bad).await.expect("parked");
    assert_eq!(payloads(&set_aside(harness, &ours).await), NONE);
}

/// A halted outbox is not leased and not read; who holds the lease may settle what is in hand.
pub async fn a_halted_outbox_is_not_relayed<H: Harness>(harness: &H) {
    let store = harness.store();
    let ours = lease(harness).await;
    enqueue(harness, &[("one", "1"), ("two", "1")]).await;
    let window = read(harness, &ours, ONE).await;
    assert_eq!(store.halted().await.expect("an answer"), None);
    store.halt("a look is needed").await.expect("halted");
    store.halt("another").await.expect("halted");
    let halted = store.halted().await.expect("an answer");
    assert_eq!(halted.as_ref().expect("halted").reason, "a look is needed");
    let status = store.status().await.expect("a status");
    assert_eq!(status.halted, halted);

    let read_late = store.read(&ours, None, MANY).await.map(drop);
    let aside_late = store.set_aside(&ours, &[], MANY).await.map(drop);
    for late in [read_late, aside_late] {
        assert_eq!(late.expect_err("halted").kind(), Kind::Fenced);
    }
    let renewed = store.lease(&ours.owner, LONG).await;
    assert_eq!(renewed.expect("an answer"), Some(ours.clone()));
    publish(harness, &ours, &window).await;
    store.release(&ours).await.expect("ours");
    for name in [owner(), ours.owner.to_string()] {
        assert_eq!(store.lease(&name, LONG).await.expect("an answer"), None);
    }
    store.resume().await.expect("resumed");
    assert_eq!(store.halted().await.expect("an answer"), None);
    let again = lease(harness).await;
    assert!(again.epoch > ours.epoch);
    assert_eq!(payloads(&read(harness, &again, MANY).await), ["two"]);
}

/// A row that halts the outbox is parked with its key in the same step.
pub async fn a_row_that_halts_is_parked<H: Harness>(harness: &H) {
    let store = harness.store();
    let ours = lease(harness).await;
    enqueue(harness, &[("bad", "1"), ("next", "1"), ("other", "2")]).await;
    let window = read(harness, &ours, MANY).await;
    let answers = [
        Settled::Halted("too large".to_owned()),
        Settled::Aside,
        Settled::Aside,
    ];
    settle(harness, &ours, &window, &answers).await;
    let status = store.status().await.expect("a status");
    assert_eq!((status.pending, status.aside, status.parked), (2, 2, 1));
    assert_eq!(status.parked_keys, u64::from(H::ORDERED));
    assert_eq!(status.halted.expect("halted").reason, "too large");
    store.release(&ours).await.expect("ours");
    store.resume().await.expect("resumed");
    let ours = lease(harness).await;
    let waits = payloads(&set_aside(harness, &ours).await);
    if H::ORDERED {
        assert_eq!(waits, ["other"]);
    } else {
        assert_eq!(waits, ["next", "other"]);
    }
}

/// Whoever takes the lease from one that has not given it up learns how many have ended so since
/// something was settled; who gave it up does not count.
pub async fn owners_that_end_are_counted<H: Harness>(harness: &H) {
    let store = harness.store();
    enqueue(harness, &[("one", "1")]).await;
    for count in 0..3 {
        assert_eq!(take_over(harness).await.crashes, Crashes::new(count, None));
    }
    let ours = take_over(harness).await;
    assert_eq!(ours.crashes.count, 3);
    let renewed = store.lease(&ours.owner, TTL).await.expect("an answer");
    assert_eq!(renewed.expect("ours").crashes.count, 3);
    store.release(&ours).await.expect("ours");
    let ours = take_over(harness).await;
    assert_eq!(ours.crashes.count, 3, "that one was calm");
    let ours = store.lease(&ours.owner, LONG).await.expect("an answer");
    let ours = ours.expect("nobody has taken it");
    let window = read(harness, &ours, MANY).await;
    publish(harness, &ours, &window).await;
    let renewed = store.lease(&ours.owner, TTL).await.expect("an answer");
    assert_eq!(renewed.expect("ours").crashes.count, 0);
}

/// A row is suspected by those who ended while they tried it, until one had an answer for it; what others
/// try between changes nothing.
pub async fn a_row_that_ends_its_relays_is_suspected<H: Harness>(harness: &H) {
    let store = harness.store();
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let ours = take_over(harness).await;
    let window = read(harness, &ours, MANY).await;
    let [one, two] = [window.entries[0].id, window.entries[1].id];
    let mut ours = ours;
    for count in 1..=3 {
        if count == 2 {
            store.trying(&ours, Some(one)).await.expect("ours");
            store.trying(&ours, None).await.expect("ours");
        }
        store.trying(&ours, Some(two)).await.expect("ours");
        ours = take_over(harness).await;
        assert_eq!(ours.crashes.suspect, Some((two, count)));
        assert_eq!(ours.crashes.count, count);
    }
    // It lives on with the row in hand for long enough to renew its lease.
    store.trying(&ours, Some(two)).await.expect("ours");
    let renewed = store.lease(&ours.owner, TTL).await.expect("an answer");
    assert_eq!(renewed.expect("ours").crashes, Crashes::new(3, None));
    store.trying(&ours, Some(one)).await.expect("ours");
    store.release(&ours).await.expect("ours");
    let ours = take_over(harness).await;
    assert_eq!(ours.crashes, Crashes::new(3, None), "that one was calm");
    let newest = take_over(harness).await;
    let late = store.trying(&ours, Some(one)).await;
    assert_eq!(late.expect_err("taken over").kind(), Kind::Fenced);
    assert_eq!(newest.crashes.count, 4);
}

/// Once an operator has decided on a row, those who ended while they tried it count no more.
pub async fn a_row_that_is_retried_is_suspected_no_more<H: Harness>(harness: &H) {
    let store = harness.store();
    enqueue(harness, &[("bad", "1"), ("next", "1")]).await;
    let mut ours = take_over(harness).await;
    let window = read(harness, &ours, MANY).await;
    let bad = window.entries[0].id;
    for _ in 0..2 {
        store.trying(&ours, Some(bad)).await.expect("ours");
        ours = take_over(harness).await;
    }
    let parked = [Settled::Parked("relays ended".to_owned()), Settled::Aside];
    settle(harness, &ours, &window, &parked).await;
    store.release(&ours).await.expect("ours");
    let ours = lease(harness).await;
    assert_eq!(ours.crashes, Crashes::new(0, Some((bad, 2))));
    store.retry(bad).await.expect("parked");
    let again = store.lease(&ours.owner, LONG).await.expect("an answer");
    assert_eq!(again.expect("ours").crashes, Crashes::default());
    let waits = set_aside(harness, &ours).await;
    assert_eq!(payloads(&waits), ["bad", "next"]);
    publish(harness, &ours, &waits).await;
    assert_eq!(payloads(&set_aside(harness, &ours).await), NONE);
}

/// The lease of a new owner, which lasts long enough for a few calls; the one before ends without a word.
async fn take_over<H: Harness>(harness: &H) -> Lease {
    loop {
        let owner = owner();
        let lease = harness.store().lease(&owner, TTL).await;
        match lease.expect("an answer") {
            Some(lease) => return lease,
            None => tokio::time::sleep(SHORT).await,
        }
    }
}
