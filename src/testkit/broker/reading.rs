use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time;

use super::{Harness, Member, into_partition, numbered, publish, record, topic, unique};
use crate::broker::{Assignment, Commit, Polled, Publisher, Record, Start, Subscriber};
use crate::error::Kind;
use crate::message::{Message, TraceContext};

/// Long enough for a broker that hands out what it should not to do so.
const QUIET: Duration = Duration::from_millis(300);

/// Key, payload and headers come back byte by byte: duplicate names in order, binary values, empty
/// ones, and none at all, which is a tombstone.
pub async fn a_record_reads_back_as_it_was<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let mut tombstone = Record::new(Arc::clone(&topic), "").with_key("k");
    tombstone.payload = None;
    let records = [
        Record::new(Arc::clone(&topic), Bytes::from_static(&[0, 255, 10])),
        Record::new(Arc::clone(&topic), "")
            .with_key(Bytes::from_static(&[0, 128]))
            .with_header("same", "1")
            .with_header("other", Bytes::from_static(&[0xff, 0]))
            .with_header("same", "2")
            .with_header("empty", ""),
        tombstone,
    ];
    publish(harness, records.to_vec()).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    member.read(3).await;
    for (received, mut sent) in member.records.iter().zip(records) {
        sent.partition = Some(0);
        let read = &received.record;
        assert_eq!(read.topic, sent.topic);
        assert_eq!(read.partition, sent.partition);
        assert_eq!(read.key, sent.key);
        assert_eq!(read.payload, sent.payload);
        let headers: Vec<_> = read.headers.iter().collect();
        assert_eq!(headers, sent.headers.iter().collect::<Vec<_>>());
        assert!(received.timestamp.is_some());
    }
}

/// A message with everything set survives the way through the broker, in either mode, and so does
/// one without a payload.
pub async fn a_message_reads_back_as_it_was<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let message = Message::new("task.created", "{}")
        .with_source("/tasks")
        .with_version(3)
        .with_subject("7")
        .with_content_type(Message::JSON)
        .with_key("7")
        .with_user("ada")
        .with_tenant("t")
        .with_correlation_id("c")
        .with_causation_id("d")
        .with_trace(TraceContext::generate().with_state("a=b"))
        .with_header("x-own", Bytes::from_static(&[0xff]));
    let tombstone = message.clone().without_payload();
    let records = [
        Record::from_message(Arc::clone(&topic), &message),
        Record::structured(Arc::clone(&topic), &message),
        Record::from_message(Arc::clone(&topic), &tombstone),
    ];
    let records = records.map(|record| record.expect("valid"));
    publish(harness, records.to_vec()).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    member.read(3).await;
    for (received, sent) in member.records.iter().zip([&message, &message, &tombstone]) {
        let read = received.record.to_message();
        assert_eq!(&read.expect("the record is a message"), sent);
    }
}

/// A group cannot be joined for a topic that does not exist, and nothing works before joining.
pub async fn an_unknown_topic_cannot_be_read<H: Harness>(harness: &H) {
    let mut subscriber = harness.subscriber();
    assert!(subscriber.poll(NonZeroUsize::MIN).await.is_err());
    let missing = [unique("missing")];
    let error = subscriber
        .subscribe(&unique("group"), &missing, Start::Earliest)
        .await
        .expect_err("the topic does not exist");
    assert_eq!(error.kind(), Kind::NotFound);
}

/// A new group gets what is there already, in order.
pub async fn earliest_starts_with_the_oldest<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    publish(harness, numbered(&topic, 0, 50)).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    publish(harness, numbered(&topic, 50, 60)).await;
    member.read(60).await;
    assert_eq!(member.numbers(), (0..60).collect::<Vec<_>>());
}

/// A new group gets only what comes after the assignment.
pub async fn latest_starts_with_the_next<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    publish(harness, numbered(&topic, 0, 5)).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Latest, 1).await;
    publish(harness, numbered(&topic, 5, 8)).await;
    member.read(3).await;
    assert_eq!(member.numbers(), [5, 6, 7]);
}

/// Where a group began is not forgotten when the member that began dies before its first commit.
pub async fn latest_is_kept_after_a_crash<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 1).await, unique("group"));
    publish(harness, numbered(&topic, 0, 5)).await;
    let subscriber = harness.impatient_subscriber();
    let mut member = Member::join(subscriber, &group, &topic, Start::Latest).await;
    member.own(1).await;
    publish(harness, numbered(&topic, 5, 8)).await;
    member.read(3).await;
    harness.crash(member.subscriber);

    let mut next = Member::join(harness.subscriber(), &group, &topic, Start::Latest).await;
    next.read(3).await;
    assert_eq!(next.numbers(), [5, 6, 7]);
}

/// What was committed before the member closed does not come again; all else does.
pub async fn committed_records_do_not_come_again<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 1).await, unique("group"));
    publish(harness, numbered(&topic, 0, 10)).await;
    let mut member = Member::alone(harness, &group, &topic, Start::Earliest, 1).await;
    member.read(10).await;
    let assignment = member.assignment(0);
    let next = member.records[6].position.offset;
    let committed = member
        .subscriber
        .commit(&[Commit::new(assignment, next)])
        .await;
    committed.expect("the assignment stands");
    member.subscriber.close().await.expect("closed");

    let mut next = Member::alone(harness, &group, &topic, Start::Earliest, 1).await;
    next.read(4).await;
    assert_eq!(next.numbers(), [6, 7, 8, 9]);
}

/// What a member read and did not commit comes again when it has died.
pub async fn a_crashed_member_leaves_uncommitted_records<H: Harness>(harness: &H) {
    let (topic, group) = (topic(harness, 1).await, unique("group"));
    publish(harness, numbered(&topic, 0, 6)).await;
    let subscriber = harness.impatient_subscriber();
    let mut member = Member::join(subscriber, &group, &topic, Start::Earliest).await;
    member.read(6).await;
    let assignment = member.assignment(0);
    let next = member.records[2].position.offset;
    let committed = member
        .subscriber
        .commit(&[Commit::new(assignment, next)])
        .await;
    committed.expect("the assignment stands");
    harness.crash(member.subscriber);

    let mut next = Member::join(harness.subscriber(), &group, &topic, Start::Earliest).await;
    next.read(4).await;
    assert_eq!(next.numbers(), [2, 3, 4, 5]);
}

/// A paused partition gives nothing until it is resumed, the others go on, and nothing is skipped.
pub async fn a_paused_partition_waits<H: Harness>(harness: &H) {
    let topic = topic(harness, 2).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 2).await;
    let paused = member.assignment(0).partition;
    member.subscriber.pause(&paused);
    let batch = numbered(&topic, 0, 8)
        .into_iter()
        .zip([0, 1].into_iter().cycle());
    let batch = batch.map(|(record, partition)| into_partition(record, partition));
    publish(harness, batch.collect()).await;
    member.read(4).await;
    member.read_nothing(QUIET).await;
    assert_eq!(member.numbers(), [1, 3, 5, 7]);

    member.subscriber.resume(&paused);
    member.read(8).await;
    assert_eq!(member.numbers()[4..], [0, 2, 4, 6]);
}

/// Seeking reads again, or leaves out; the position of an assignment that has ended stays.
pub async fn seeking_goes_back_and_forth<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    publish(harness, numbered(&topic, 0, 5)).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    member.read(5).await;
    let assignment = member.assignment(0);
    let third = member.records[2].position.offset;
    member.seek(&assignment, third).await.expect("it is ours");
    member.read(8).await;
    assert_eq!(member.numbers()[5..], [2, 3, 4]);

    let last = member.records[4].position.offset;
    member.seek(&assignment, third).await.expect("it is ours");
    member.seek(&assignment, last).await.expect("it is ours");
    member.read(9).await;
    assert_eq!(member.numbers()[8..], [4]);

    let ended = Assignment::new(assignment.partition, assignment.epoch.wrapping_sub(1));
    let error = member.seek(&ended, third).await.expect_err("not ours");
    assert_eq!(error.kind(), Kind::Fenced);
    member.read_nothing(QUIET).await;
}

/// A poll that was dropped before it was done takes no records with it.
pub async fn a_poll_may_be_cancelled<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    let (publisher, sent) = (harness.publisher(), Arc::clone(&topic));
    let publishing = tokio::spawn(async move {
        for n in 0..100 {
            let results = publisher.publish(vec![record(&sent, n)]).await;
            assert!(results[0].is_ok(), "{results:?}");
        }
    });
    let mut random = fastrand::Rng::with_seed(7);
    let mut numbers = Vec::new();
    while numbers.len() < 100 {
        let patience = Duration::from_micros(random.u64(0..3_000));
        let max = NonZeroUsize::MIN.saturating_add(random.usize(0..5));
        match time::timeout(patience, member.subscriber.poll(max)).await {
            Ok(Ok(Polled::Records(records))) => {
                numbers.extend(
                    records
                        .iter()
                        .map(|received| super::number(&received.record)),
                );
            }
            Ok(Err(error)) => assert!(error.is_transient(), "{error:?}"),
            Ok(Ok(change)) => panic!("nobody else is in the group: {change:?}"),
            Err(_cancelled) => {}
        }
    }
    publishing.await.expect("all is published");
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

/// A poll gives at most as many records as it was asked for.
pub async fn no_poll_gives_more_than_asked<H: Harness>(harness: &H) {
    let topic = topic(harness, 3).await;
    publish(harness, numbered(&topic, 0, 30)).await;
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 3).await;
    let max = NonZeroUsize::MIN.saturating_add(3);
    let mut read = 0;
    while read < 30 {
        if let Polled::Records(records) = member.subscriber.poll(max).await.expect("polled") {
            assert!(
                (1..=max.get()).contains(&records.len()),
                "{}",
                records.len()
            );
            read += records.len();
        }
    }
}

/// A poll that waits is woken by the next record.
pub async fn a_waiting_poll_is_woken<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    let mut subscriber = member.subscriber;
    let waiting = tokio::spawn(async move { subscriber.poll(NonZeroUsize::MIN).await });
    time::sleep(QUIET).await;
    assert!(!waiting.is_finished(), "there is nothing to read");
    publish(harness, numbered(&topic, 1, 2)).await;
    let polled = waiting.await.expect("no panic").expect("polled");
    assert!(matches!(polled, Polled::Records(records) if records.len() == 1));
}
