//! How far a log is settled, and how it is brought to where a broker is.

use std::num::NonZeroUsize;

use bytes::Bytes;
use chrono::DateTime;

use super::{
    Harness, LONG, MANY, NONE, enqueue, lease, owner, payloads, publish, read, read_from,
    set_aside, settle,
};
use crate::broker::Record;
use crate::error::Kind;
use crate::outbox::{Entry, Lease, Progress, Settled, Store, Window};

/// The position says under which lease it was moved, and only a window of the log moves it.
pub async fn the_position_tells_under_which_lease_it_was_moved<H: Harness>(harness: &H) {
    let first = lease(harness).await;
    let begun = progress(harness, &first).await;
    assert_eq!(begun.epoch, 0);
    enqueue(harness, &[("one", "1"), ("two", "2")]).await;
    let window = read(harness, &first, MANY).await;
    assert_eq!(progress(harness, &first).await, begun, "only read");
    let answers = [Settled::Published, Settled::Aside];
    settle(harness, &first, &window, &answers).await;
    let moved = progress(harness, &first).await;
    assert_eq!(Some(&moved.position), window.next.as_ref());
    assert_eq!((moved.epoch, &moved.outbox), (first.epoch, &begun.outbox));

    let store = harness.store();
    store.release(&first).await.expect("ours");
    let second = store.lease(&owner(), LONG).await;
    let second = second.expect("an answer").expect("it is free");
    let late = store.progress(&first).await;
    assert_eq!(late.expect_err("given up").kind(), Kind::Fenced);
    publish(harness, &second, &set_aside(harness, &second).await).await;
    assert_eq!(progress(harness, &second).await, moved);
    enqueue(harness, &[("three", "1")]).await;
    publish(harness, &second, &read(harness, &second, MANY).await).await;
    assert_eq!(progress(harness, &second).await.epoch, second.epoch);
}

/// A window that names only what is left, by ids, is settled as the whole one would be.
pub async fn what_is_left_of_a_window_is_enough_to_settle_it<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let rows = [("one", "1"), ("two", "2"), ("three", "1"), ("four", "3")];
    enqueue(harness, &rows).await;
    let whole = read(harness, &lease, MANY).await;
    let named = [1, 2].map(|row: usize| {
        let unknown = Record::new("", Bytes::new());
        Entry::new(whole.entries[row].id, unknown, DateTime::default())
    });
    let left = Window::new(named.into(), whole.next.clone());
    settle(harness, &lease, &left, &[Settled::Aside, Settled::Aside]).await;
    assert_eq!(payloads(&read(harness, &lease, MANY).await), NONE);
    let aside = set_aside(harness, &lease).await;
    assert_eq!(aside.entries, whole.entries[1..3]);
    // What the broker has of it goes by its id too.
    let named = Window::new(left.entries[..1].to_vec(), None);
    publish(harness, &lease, &named).await;
    assert_eq!(payloads(&set_aside(harness, &lease).await), ["three"]);
}

/// Windows that follow on each other are settled together, while what comes after them is read.
pub async fn windows_are_settled_as_one<H: Harness>(harness: &H) {
    let lease = lease(harness).await;
    let rows = [("one", "1"), ("two", "2"), ("three", "1"), ("four", "3")];
    enqueue(harness, &rows).await;
    let first = read(harness, &lease, NonZeroUsize::MIN).await;
    let second = read_from(harness, &lease, &first, NonZeroUsize::MIN).await;
    let mut both = Window::new(first.entries, second.next.clone());
    both.entries.extend(second.entries.iter().cloned());
    let settling = publish(harness, &lease, &both);
    let (third, ()) = tokio::join!(read_from(harness, &lease, &second, MANY), settling);
    assert_eq!(payloads(&third), ["three", "four"]);
    assert_eq!(
        payloads(&read(harness, &lease, MANY).await),
        ["three", "four"]
    );
}

async fn progress<H: Harness>(harness: &H, lease: &Lease) -> Progress {
    let progress = harness.store().progress(lease).await;
    progress.expect("ours")
}
