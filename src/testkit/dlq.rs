//! The conformance suite of dead letter stores.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a case reports by panicking"
)]

use std::time::Duration;

use chrono::DateTime;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::broker::{Position, Record, TopicPartition};
use crate::dlq::{DeadLetter, Filter, Reason, State, Store};
use crate::error::Kind;

const LEASE: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Runs every case on `store`, each with a group of its own.
pub async fn all<S: Store + Clone>(store: &S) {
    a_letter_comes_back_as_it_was(store).await;
    a_position_is_one_letter(store).await;
    another_record_is_another_letter(store).await;
    one_of_many_redrives_begins(store).await;
    a_redrive_without_end_is_open_again(store).await;
    a_copy_that_fails_first_stays_open(store).await;
    a_closed_letter_is_refused(store).await;
}

/// Key, headers and payload come back byte for byte.
pub async fn a_letter_comes_back_as_it_was<S: Store>(store: &S) {
    let letter = letter();
    let id = store.put(&letter).await.expect("put");
    assert_eq!(store.get(id).await.expect("get"), Some(letter.clone()));
    let found = store
        .query(&Filter::open().group(letter.group.clone()))
        .await;
    assert_eq!(found.expect("query"), [letter]);
}

/// Putting a position again counts a failure and opens the letter.
pub async fn a_position_is_one_letter<S: Store>(store: &S) {
    let first = letter();
    let id = store.put(&first).await.expect("put");
    store.discard(id).await.expect("discard");
    let mut second = first.clone();
    second.id = Uuid::now_v7().into();
    second.reason = Reason::new("panic", "again");
    assert_eq!(store.put(&second).await.expect("put"), id);
    let stored = store.get(id).await.expect("get").expect("there");
    assert_eq!((stored.failures, stored.state), (2, State::Open));
    assert_eq!(stored.reason, second.reason);
    let filter = Filter::all().group(first.group);
    assert_eq!(store.count(&filter).await.expect("count"), 1);
}

/// Another record at the same position, as when its topic was made anew, is another letter.
pub async fn another_record_is_another_letter<S: Store>(store: &S) {
    let first = letter();
    let id = store.put(&first).await.expect("put");
    let mut second = first.clone();
    second.id = Uuid::now_v7().into();
    second.record.payload = Some("another".into());
    assert_ne!(store.put(&second).await.expect("put"), id);
    for letter in [first, second] {
        let stored = store.get(letter.id).await.expect("get").expect("there");
        assert_eq!((stored.failures, stored.record), (1, letter.record));
    }
}

/// Of 8 parallel redrives of a letter exactly one begins. The window for a mistake is narrow, so it
/// is tried with many letters.
pub async fn one_of_many_redrives_begins<S: Store + Clone>(store: &S) {
    for _ in 0..20 {
        let id = store.put(&letter()).await.expect("put");
        let mut redrives = JoinSet::new();
        for _ in 0..8 {
            let store = store.clone();
            redrives.spawn(async move { store.begin_redrive(id, LEASE).await });
        }
        let results = redrives.join_all().await;
        let begun = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!((begun, results.len()), (1, 8));
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), Kind::Conflict, "{error}");
        }
    }
}

/// A redrive whose lease has ended goes to the next, and the first cannot end it.
pub async fn a_redrive_without_end_is_open_again<S: Store>(store: &S) {
    let letter = letter();
    let id = store.put(&letter).await.expect("put");
    let lost = store.begin_redrive(id, SHORT).await.expect("begin");
    tokio::time::sleep(2 * SHORT).await;
    let open = Filter::open().group(letter.group);
    assert_eq!(store.count(&open).await.expect("count"), 1);
    let newest = store.begin_redrive(id, LEASE).await.expect("begin");
    let late = store.end_redrive(&lost, true).await;
    assert_eq!(late.expect_err("lost").kind(), Kind::Fenced);
    store.end_redrive(&newest, true).await.expect("end");
    let stored = store.get(id).await.expect("get").expect("there");
    assert_eq!((stored.redrives, stored.state), (1, State::Redriven));
}

/// A copy that fails before its redrive was noted leaves the letter open, and is counted.
pub async fn a_copy_that_fails_first_stays_open<S: Store>(store: &S) {
    let letter = letter();
    let id = store.put(&letter).await.expect("put");
    let redriving = store.begin_redrive(id, LEASE).await.expect("begin");
    store.put(&letter).await.expect("put");
    store.end_redrive(&redriving, true).await.expect("end");
    let stored = store.get(id).await.expect("get").expect("there");
    assert_eq!((stored.redrives, stored.failures), (1, 2));
    assert_eq!(stored.state, State::Open);
}

/// What is not open is neither redriven nor discarded, and what is not there is not found.
pub async fn a_closed_letter_is_refused<S: Store>(store: &S) {
    let id = store.put(&letter()).await.expect("put");
    store.discard(id).await.expect("discard");
    let refused = store.begin_redrive(id, LEASE).await.expect_err("discarded");
    assert_eq!(refused.kind(), Kind::Conflict);
    assert!(refused.to_string().contains("discarded"), "{refused}");
    let refused = store.discard(id).await.expect_err("discarded");
    assert_eq!(refused.kind(), Kind::Conflict);
    let unknown = store.discard(Uuid::now_v7().into()).await;
    assert_eq!(unknown.expect_err("unknown").kind(), Kind::NotFound);
}

fn letter() -> DeadLetter {
    let mut record = Record::new("tasks", b"\x00\xff payload".to_vec())
        .with_key(b"\xfe key".to_vec())
        .with_header("twice", "1")
        .with_header("twice", b"\xff".to_vec());
    record.partition = Some(3);
    let position = Position::new(TopicPartition::new("tasks", 3), u64::from(u32::MAX) + 7);
    let group = Uuid::now_v7().to_string();
    let failed_at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("in range");
    DeadLetter::new(
        group,
        position,
        record,
        Reason::new("error", "no"),
        failed_at,
    )
}
