use std::num::NonZeroU64;
use std::time::Duration;

use bowline::broker::{Publisher as _, Subscriber as _, Topics as _};
use bowline::error::Kind;
use tokio::time::timeout;

use crate::{ONE, PATIENCE, ask, commit, numbered, own_broker, owner, publish, read, shared_url};

/// Redis deletes whole nodes of a stream, which have 100 entries unless it is told otherwise.
const NODE: u64 = 100;

#[tokio::test]
async fn old_records_go_and_those_that_a_group_needs_stay() {
    let (broker, keys) = own_broker().await;
    let broker = broker.with_max_len(NonZeroU64::new(200).unwrap());
    broker.create("t", ONE).await.expect("a new topic");
    let url = shared_url().await;
    let length = async || ask::<u64>(&url, &format!("XLEN {keys}:log:t:0")).await;

    publish(&broker, 0..1_000).await;
    assert!(
        (200..=200 + NODE).contains(&length().await),
        "{}",
        length().await
    );

    let (mut subscriber, mine) = owner(&broker, "g").await;
    let first = read(&mut subscriber, 1).await[0].position.offset;
    publish(&broker, 1_000..2_000).await;
    assert_eq!(length().await, 2_000 - first, "it has not committed yet");

    commit(&mut subscriber, &mine[0].assignment, 1_500).await;
    publish(&broker, 2_000..2_001).await;
    assert!(
        (501..=501 + NODE).contains(&length().await),
        "{}",
        length().await
    );
    subscriber.close().await.expect("closed");

    let (mut subscriber, mine) = owner(&broker, "g").await;
    assert_eq!(read(&mut subscriber, 501).await[0].position.offset, 1_500);
    commit(&mut subscriber, &mine[0].assignment, 2_001).await;
    publish(&broker, 2_001..2_002).await;
    assert!(
        (200..=200 + NODE).contains(&length().await),
        "{}",
        length().await
    );
}

#[tokio::test]
async fn offsets_grow_when_all_records_were_deleted() {
    let (broker, keys) = own_broker().await;
    broker.create("t", ONE).await.expect("a new topic");
    publish(&broker, 0..10).await;
    let () = ask(
        &shared_url().await,
        &format!("XTRIM {keys}:log:t:0 MAXLEN 0"),
    )
    .await;
    let results = broker.publish(vec![numbered(10)]).await;
    assert_eq!(results[0].as_ref().expect("acceptable").offset, Some(10));
    let (mut subscriber, _) = owner(&broker, "g").await;
    assert_eq!(read(&mut subscriber, 1).await[0].position.offset, 10);
}

#[tokio::test]
async fn a_group_that_was_deleted_holds_nothing_back() {
    let (broker, keys) = own_broker().await;
    let broker = broker.with_max_len(NonZeroU64::new(100).unwrap());
    broker.create("t", ONE).await.expect("a new topic");
    assert!(!broker.delete_group("g").await.expect("nothing to do"));
    let (subscriber, _) = owner(&broker, "g").await;
    let error = broker.delete_group("g").await.expect_err("in use");
    assert_eq!(error.kind(), Kind::Conflict);
    subscriber.close().await.expect("closed");

    publish(&broker, 0..1_000).await;
    let url = shared_url().await;
    let length = async || ask::<u64>(&url, &format!("XLEN {keys}:log:t:0")).await;
    assert_eq!(length().await, 1_000);
    assert!(broker.delete_group("g").await.expect("no members"));
    publish(&broker, 1_000..1_001).await;
    assert!(length().await <= 100 + NODE, "{}", length().await);
    let left: Vec<String> = ask(&url, &format!("KEYS {keys}*")).await;
    assert_eq!(left.len(), 2, "the topic and its log: {left:?}");
}

#[tokio::test]
async fn a_dead_member_does_not_keep_its_group_from_being_deleted() {
    let (broker, _) = own_broker().await;
    let broker = broker.with_session_timeout(Duration::from_millis(10));
    broker.create("t", ONE).await.expect("a new topic");
    drop(owner(&broker, "g").await);
    let deleted = async {
        while let Err(error) = broker.delete_group("g").await {
            assert_eq!(error.kind(), Kind::Conflict);
        }
    };
    timeout(PATIENCE, deleted).await.expect("it is overdue");
}

#[tokio::test]
async fn the_groups_of_a_topic_are_those_that_hold_its_records_back() {
    let (broker, _) = own_broker().await;
    let error = broker.groups("t").await.expect_err("no topic");
    assert_eq!(error.kind(), Kind::NotFound);
    broker.create("t", ONE).await.expect("a new topic");
    assert_eq!(broker.groups("t").await.expect("known"), [""; 0]);
    for group in ["b", "a"] {
        let (subscriber, _) = owner(&broker, group).await;
        subscriber.close().await.expect("closed");
    }
    assert_eq!(broker.groups("t").await.expect("known"), ["a", "b"]);
    broker.delete_group("a").await.expect("empty");
    assert_eq!(broker.groups("t").await.expect("known"), ["b"]);
}
