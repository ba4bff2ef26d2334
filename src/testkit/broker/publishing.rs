use std::num::NonZeroU32;
use std::sync::Arc;

use super::{
    Harness, Member, all_appended, into_partition, numbered, publish, record, topic, unique,
};
use crate::broker::{
    Appended, Created, PublishError, Publisher, Record, SendStatus, Start, Topics, partition_for,
};
use crate::error::Kind;

const KEYS: [&str; 8] = [
    "",
    "21",
    "foobar",
    "abc",
    "a",
    "7",
    "ключ",
    "a-little-bit-long",
];

/// Creating again changes nothing, another number of partitions is a conflict, and a name that is
/// not allowed is invalid.
pub async fn topics_are_created_once<H: Harness>(harness: &H) {
    let topics = harness.topics();
    let name = unique("topic");
    let (two, three) = (
        NonZeroU32::MIN.saturating_add(1),
        NonZeroU32::MIN.saturating_add(2),
    );
    assert_eq!(topics.create(&name, two).await.expect("new"), Created::New);
    assert_eq!(
        topics.create(&name, two).await.expect("there"),
        Created::Existed
    );
    let error = topics.create(&name, three).await.expect_err("other count");
    assert_eq!(error.kind(), Kind::Conflict);
    for name in ["", "white space", "slash/", "ä", &"x".repeat(250)] {
        let error = topics.create(name, two).await.expect_err(name);
        assert_eq!(error.kind(), Kind::Invalid, "{name:?}");
    }
    // The names of one broker may be long and may differ only in their last character.
    let long = format!("{name}-{}", "x".repeat(248 - name.len() - 1));
    for last in ["a", "b"] {
        let created = topics.create(&format!("{long}{last}"), two).await;
        assert_eq!(created.expect("new"), Created::New);
    }
}

/// One result per record, each with the place of that record.
pub async fn results_come_in_the_order_of_the_batch<H: Harness>(harness: &H) {
    let topic = topic(harness, 3).await;
    let batch: Vec<_> = numbered(&topic, 0, 30)
        .into_iter()
        .zip([2, 0, 1, 1, 0].into_iter().cycle())
        .map(|(record, partition)| into_partition(record, partition))
        .collect();
    let appended = publish(harness, batch.clone()).await;
    assert_eq!(appended.len(), batch.len());

    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 3).await;
    member.read(30).await;
    for (sent, appended) in batch.iter().zip(&appended) {
        let read = member
            .records
            .iter()
            .find(|read| Some(&read.position) == appended.position().as_ref())
            .expect("the record is where the result says");
        assert_eq!(read.record, *sent);
    }
    assert!(harness.publisher().publish(Vec::new()).await.is_empty());
}

/// A record that names a partition goes there, whatever its key; one that the topic does not have
/// is refused.
pub async fn a_known_partition_is_used<H: Harness>(harness: &H) {
    let topic = topic(harness, 3).await;
    for partition in 0..3 {
        let record = into_partition(record(&topic, 0).with_key("foobar"), partition);
        let appended = publish(harness, vec![record]).await;
        assert_eq!(appended[0].partition.partition, partition);
    }
    let missing = into_partition(record(&topic, 0), 3);
    let mut results = harness.publisher().publish(vec![missing]).await;
    let error = results.remove(0).expect_err("there is no such partition");
    assert_eq!(error.status(), SendStatus::NotSent);
    assert!(!error.error().is_transient(), "{error:?}");
}

/// Keys are placed as Kafka's own producer places them.
pub async fn keys_choose_partitions_as_in_kafka<H: Harness>(harness: &H) {
    for partitions in [1, 6] {
        let topic = topic(harness, partitions).await;
        let batch = KEYS.map(|key| record(&topic, 0).with_key(key)).to_vec();
        let appended = publish(harness, batch).await;
        let count = NonZeroU32::new(partitions).expect("not zero");
        for (key, appended) in KEYS.iter().zip(appended) {
            let expected = partition_for(key.as_bytes(), count);
            assert_eq!(appended.partition.partition, expected, "{key:?}");
        }
    }
}

/// An unknown topic fails its own records, and no others.
pub async fn an_unknown_topic_is_refused<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let missing = unique("missing");
    let batch = vec![record(&topic, 0), record(&missing, 1), record(&topic, 2)];
    let results = harness.publisher().publish(batch).await;
    let [Ok(_), Err(error), Ok(_)] = &*results else {
        panic!("only the second record fails: {results:?}")
    };
    assert_eq!(error.error().kind(), Kind::NotFound);
    assert_eq!(error.status(), SendStatus::NotSent);
}

/// A record that is too large fails alone.
pub async fn a_too_large_record_is_refused<H: Harness>(harness: &H) {
    let topic = topic(harness, 1).await;
    let large = too_large(harness, &topic);
    let results = harness
        .publisher()
        .publish(vec![record(&topic, 0), large, record(&topic, 1)])
        .await;
    let [Ok(_), Err(error), Ok(_)] = &*results else {
        panic!("only the second record fails: {results:?}")
    };
    assert_eq!(error.error().kind(), Kind::TooLarge);
    assert_eq!(error.status(), SendStatus::NotSent);

    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 1).await;
    member.read(2).await;
    assert_eq!(member.numbers(), [0, 1]);
}

/// Once a record failed, later ones of its topic and key are held; all others are appended.
pub async fn a_failed_record_holds_back_its_key<H: Harness>(harness: &H) {
    let topic_a = topic(harness, 1).await;
    let topic_b = topic(harness, 1).await;
    let batch = vec![
        record(&topic_a, 0).with_key("1"),
        too_large(harness, &topic_a).with_key("1"),
        record(&topic_a, 2).with_key("1"),
        record(&topic_a, 3).with_key("2"),
        record(&topic_a, 4),
        record(&topic_b, 5).with_key("1"),
        record(&topic_a, 6).with_key("1"),
    ];
    let results = harness.publisher().publish(batch).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.error().kind()))
        .collect();
    let (large, held) = (Some(Kind::TooLarge), Some(Kind::Contention));
    assert_eq!(kinds, [None, large, held, None, None, None, held]);
    let statuses = results.iter().filter_map(|result| result.as_ref().err());
    assert!(
        statuses
            .map(PublishError::status)
            .all(|status| status == SendStatus::NotSent)
    );

    let mut member = Member::alone(harness, &unique("group"), &topic_a, Start::Earliest, 1).await;
    member.read(3).await;
    assert_eq!(member.numbers(), [0, 3, 4]);

    let again = publish(harness, vec![record(&topic_a, 2).with_key("1")]).await;
    assert_eq!(again.len(), 1, "the next batch starts anew");
}

/// Records of one key keep the order of calls that were awaited.
pub async fn awaited_calls_keep_their_order<H: Harness>(harness: &H) {
    let topic = topic(harness, 4).await;
    let publisher = harness.publisher();
    for call in 0..20 {
        let batch = numbered(&topic, call * 5, call * 5 + 5);
        let batch = batch.into_iter().map(|record| record.with_key("7"));
        all_appended(publisher.publish(batch.collect()).await);
    }
    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 4).await;
    member.read(100).await;
    assert_eq!(member.numbers(), (0..100).collect::<Vec<_>>());
}

/// Publishers at the same time neither lose nor overwrite each other's records.
pub async fn concurrent_publishers_lose_nothing<H: Harness>(harness: &H) {
    let topic = topic(harness, 2).await;
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let (publisher, topic) = (harness.publisher(), Arc::clone(&topic));
            tokio::spawn(async move {
                let mut appended = Vec::new();
                for n in 0..25 {
                    let key = format!("task-{task}");
                    let batch = numbered(&topic, task * 100 + n * 2, task * 100 + n * 2 + 2);
                    let batch = batch.into_iter().map(|record| record.with_key(key.clone()));
                    appended.extend(all_appended(publisher.publish(batch.collect()).await));
                }
                appended
            })
        })
        .collect();
    let mut appended = Vec::new();
    for task in tasks {
        appended.extend(task.await.expect("the task does not panic"));
    }
    let mut positions: Vec<_> = appended.iter().map(Appended::position).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), 200, "two records have one position");

    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 2).await;
    member.read(200).await;
    for task in 0..4 {
        let mut numbers = member.numbers();
        numbers.retain(|number| number / 100 == task);
        let expected: Vec<_> = (task * 100..task * 100 + 50).collect();
        assert_eq!(numbers, expected, "order of a key");
    }
}

fn too_large<H: Harness>(harness: &H, topic: &Arc<str>) -> Record {
    Record::new(Arc::clone(topic), vec![b'x'; harness.too_large()])
}
