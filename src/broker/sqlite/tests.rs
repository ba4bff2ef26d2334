use std::fs;
use std::num::NonZeroUsize;

use tempfile::TempDir;

use super::*;
use crate::broker::{Assignment, Commit, Polled, SendStatus, Start, Subscriber};

const MAX: NonZeroUsize = NonZeroUsize::new(10).expect("not zero");

async fn broker() -> (TempDir, Sqlite) {
    let directory = tempfile::tempdir().expect("a directory");
    let broker = open(&directory).await;
    let created = broker.create("t", NonZeroU32::MIN).await;
    assert_eq!(created.expect("valid"), Created::New);
    (directory, broker)
}

async fn open(directory: &TempDir) -> Sqlite {
    let opened = Sqlite::open(directory.path().join("broker.db")).await;
    opened.expect("a database")
}

async fn joined(broker: &Sqlite) -> SqliteSubscriber {
    let mut subscriber = broker.subscriber();
    let topics = ["t".into()];
    let joined = subscriber.subscribe("g", &topics, Start::Earliest).await;
    joined.expect("the topic exists");
    subscriber
}

async fn assigned(subscriber: &mut SqliteSubscriber) -> Assignment {
    match subscriber.poll(MAX).await {
        Ok(Polled::Assigned(mut mine)) => mine.remove(0).assignment,
        other => panic!("expected an assignment: {other:?}"),
    }
}

async fn read(subscriber: &mut SqliteSubscriber) -> Vec<String> {
    match subscriber.poll(MAX).await {
        Ok(Polled::Records(records)) => records
            .into_iter()
            .map(|received| received.record.payload.expect("a payload"))
            .map(|payload| String::from_utf8(payload.to_vec()).expect("text"))
            .collect(),
        other => panic!("expected records: {other:?}"),
    }
}

async fn publish(broker: &Sqlite, payloads: [&'static str; 2]) {
    let batch = payloads.map(|payload| Record::new("t", payload)).to_vec();
    for result in broker.publish(batch).await {
        result.expect("acceptable");
    }
}

#[tokio::test]
async fn records_and_commits_are_there_after_a_restart() {
    let (directory, broker) = broker().await;
    publish(&broker, ["a", "b"]).await;
    let mut subscriber = joined(&broker).await;
    let assignment = assigned(&mut subscriber).await;
    assert_eq!(read(&mut subscriber).await, ["a", "b"]);
    subscriber
        .commit(&[Commit::new(assignment.clone(), 1)])
        .await
        .expect("ours");
    subscriber.close().await.expect("closed");
    broker.close().await;

    let broker = open(&directory).await;
    let mut subscriber = joined(&broker).await;
    let again = assigned(&mut subscriber).await;
    assert!(
        again.epoch > assignment.epoch,
        "epochs are never used again"
    );
    assert_eq!(read(&mut subscriber).await, ["b"]);
}

#[tokio::test]
async fn another_handle_sees_what_is_published() {
    let (directory, broker) = broker().await;
    let other = open(&directory).await;
    let mut subscriber = joined(&other).await;
    assigned(&mut subscriber).await;
    let reading = tokio::spawn(async move { read(&mut subscriber).await });
    time::sleep(Duration::from_millis(50)).await;
    publish(&broker, ["a", "b"]).await;
    assert_eq!(reading.await.expect("no panic"), ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("broker.db");
    let opening: Vec<_> = (0..8)
        .map(|_| tokio::spawn(Sqlite::open(path.clone())))
        .collect();
    for opening in opening {
        let broker = opening.await.expect("no panic").expect("opened");
        broker.create("t", NonZeroU32::MIN).await.expect("valid");
    }
}

#[tokio::test]
async fn a_dead_member_is_replaced_though_the_clock_went_back() {
    let (_directory, broker) = broker().await;
    let broker = broker.with_session_timeout(Duration::from_millis(300));
    let mut dead = joined(&broker).await;
    let ended = assigned(&mut dead).await;
    sqlx::query("UPDATE bowline_broker_member SET seen_ms = seen_ms + 3600000")
        .execute(&broker.shared.writer)
        .await
        .expect("the table is there");
    let mut member = joined(&broker).await;
    let taken = time::timeout(Duration::from_secs(30), assigned(&mut member)).await;
    assert!(taken.expect("replaced").epoch > ended.epoch);
    let late = dead
        .commit(&[Commit::new(ended, 1)])
        .await
        .expect_err("replaced");
    assert_eq!(late.kind(), Kind::Fenced);
}

#[tokio::test]
async fn nothing_is_sent_through_a_closed_broker() {
    let (_directory, broker) = broker().await;
    broker.close().await;
    let results = broker.publish(vec![Record::new("t", "a"); 2]).await;
    assert_eq!(results.len(), 2);
    for result in results {
        let error = result.expect_err("closed");
        assert_eq!(error.status(), SendStatus::NotSent);
        assert_eq!(error.error().kind(), Kind::Closed);
    }
}

#[tokio::test]
async fn what_is_no_database_is_corrupt_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes.txt");
    let text = "not a database ".repeat(100);
    fs::write(&path, &text).expect("written");
    let error = Sqlite::open(&path).await.expect_err("no database");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert_eq!(fs::read_to_string(&path).expect("readable"), text);
}

#[tokio::test]
async fn a_missing_directory_is_not_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("missing").join("broker.db");
    let error = Sqlite::open(path).await.expect_err("no directory");
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_newer_file_is_refused() {
    let (directory, broker) = broker().await;
    sqlx::query("UPDATE bowline_schema SET version = 99 WHERE module = 'broker'")
        .execute(&broker.shared.writer)
        .await
        .expect("the table is there");
    broker.close().await;
    let newer = Sqlite::open(directory.path().join("broker.db")).await;
    assert_eq!(newer.expect_err("newer").kind(), Kind::Schema);
}

#[tokio::test]
async fn what_may_not_be_written_is_read_only_and_was_not_sent() {
    let (_directory, broker) = broker().await;
    sqlx::query("PRAGMA query_only = ON")
        .execute(&broker.shared.writer)
        .await
        .expect("known");
    let results = broker.publish(vec![Record::new("t", "a")]).await;
    let error = results.into_iter().next().expect("one").expect_err("read");
    assert_eq!(error.status(), SendStatus::NotSent);
    assert_eq!(error.error().kind(), Kind::ReadOnly);
    let mut subscriber = broker.subscriber();
    let topics = ["t".into()];
    let joined = subscriber.subscribe("g", &topics, Start::Earliest).await;
    assert_eq!(joined.expect_err("it writes").kind(), Kind::ReadOnly);
}

#[tokio::test]
async fn a_damaged_file_is_corrupt_and_skips_nothing() {
    let (directory, broker) = broker().await;
    for _ in 0..100 {
        publish(&broker, ["a", "b"]).await;
    }
    broker.close().await;
    let path = directory.path().join("broker.db");
    let mut bytes = fs::read(&path).expect("readable");
    bytes[4096..].fill(0xff);
    fs::write(&path, bytes).expect("written");
    let error = match Sqlite::open(&path).await {
        Err(error) => error,
        Ok(broker) => {
            let mut subscriber = broker.subscriber();
            let topics = ["t".into()];
            let joined = subscriber.subscribe("g", &topics, Start::Earliest).await;
            joined.expect_err("nothing can be read")
        }
    };
    assert_eq!(error.kind(), Kind::Corrupt, "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_record_whose_headers_are_damaged_comes_without_them_and_is_no_message() {
    let (_directory, broker) = broker().await;
    publish(&broker, ["a", "b"]).await;
    sqlx::query("UPDATE bowline_broker_record SET headers = x'ff' WHERE payload = x'61'")
        .execute(&broker.shared.writer)
        .await
        .expect("the table is there");
    let mut subscriber = joined(&broker).await;
    assigned(&mut subscriber).await;
    let Ok(Polled::Records(records)) = subscriber.poll(MAX).await else {
        panic!("there are two")
    };
    assert_eq!(records.len(), 2);
    let first = &records[0].record;
    assert_eq!(
        (first.headers.len(), first.payload.as_deref()),
        (0, Some(&b"a"[..]))
    );
    let error = first.to_message().expect_err("no headers");
    assert_eq!(error.kind(), Kind::Corrupt);
}

/// Polls that are dropped at any moment, with a heartbeat in nearly each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_heartbeats_leave_no_transaction_open() {
    let (directory, broker) = broker().await;
    let impatient = broker
        .clone()
        .with_session_timeout(Duration::from_millis(3));
    let other = open(&directory).await;
    let publishing = tokio::spawn(async move {
        for _ in 0..50 {
            publish(&other, ["x", "y"]).await;
        }
    });
    let mut subscriber = joined(&impatient).await;
    let mut random = fastrand::Rng::with_seed(3);
    let mut next = 0;
    while next < 100 {
        let patience = Duration::from_micros(random.u64(0..5_000));
        match time::timeout(patience, subscriber.poll(MAX)).await {
            Ok(Ok(Polled::Records(records))) => {
                for received in &records {
                    assert!(received.position.offset <= next, "a record was skipped");
                    next = next.max(received.position.offset + 1);
                }
                let commit = Commit::new(records[0].assignment(), next);
                if let Err(error) = subscriber.commit(&[commit]).await {
                    assert_eq!(error.kind(), Kind::Fenced);
                }
            }
            Ok(Err(error)) => panic!("{error:?}"),
            Ok(Ok(_)) | Err(_) => {}
        }
    }
    publishing.await.expect("all is published");
    subscriber.close().await.expect("closed");
    publish(&open(&directory).await, ["the file", "is free"]).await;
}

#[tokio::test]
async fn the_log_can_be_looked_at() {
    let (_directory, broker) = broker().await;
    publish(&broker, ["a", "b"]).await;
    let rows: Vec<(String, u32, u32, Vec<u8>, String)> = sqlx::query_as(
        "SELECT topic, partition, offset, payload, appended_at \
         FROM bowline_broker_log ORDER BY offset",
    )
    .fetch_all(&broker.shared.readers)
    .await
    .expect("the view is there");
    let [(topic, 0, 0, a, at), (_, 0, 1, b, _)] = &*rows else {
        panic!("two records: {rows:?}")
    };
    assert_eq!((&**topic, &**a, &**b), ("t", &b"a"[..], &b"b"[..]));
    assert!(at.starts_with("20"), "{at}");
}
