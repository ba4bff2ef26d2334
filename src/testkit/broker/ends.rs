use std::sync::Arc;

use super::{Harness, Member, into_partition, numbered, publish, topic, unique};
use crate::broker::{Position, Start, Subscriber, TopicPartition};

/// The end of a partition is where its next record will stand, whether it was read or not, and nobody
/// has to wait for the answer before polling goes on.
pub async fn ends_are_where_the_next_records_will_stand<H: Harness>(harness: &H) {
    let topic = topic(harness, 3).await;
    let partitions = [0, 1, 2].map(|n| TopicPartition::new(Arc::clone(&topic), n));
    let asked = harness.subscriber().ends(&partitions);
    assert!(asked.await.is_err(), "it has not joined");

    let mut member = Member::alone(harness, &unique("group"), &topic, Start::Earliest, 3).await;
    let mut wanted = partitions.clone().map(|one| Position::new(one, 0));
    assert_eq!(ends(&member.subscriber, &partitions).await, wanted);

    let into = |n, count| {
        numbered(&topic, 0, count)
            .into_iter()
            .map(move |one| into_partition(one, n))
    };
    let appended = publish(harness, into(0, 3).chain(into(2, 1)).collect()).await;
    for last in appended.iter().filter_map(|appended| appended.position()) {
        let end = wanted
            .iter_mut()
            .find(|end| end.partition == last.partition);
        end.expect("one of the topic's").offset = last.offset + 1;
    }
    assert_eq!(ends(&member.subscriber, &partitions).await, wanted);
    assert_eq!(
        ends(&member.subscriber, &partitions[2..]).await,
        wanted[2..]
    );
    assert_eq!(ends(&member.subscriber, &[]).await, []);

    let asked = member.subscriber.ends(&partitions);
    member.read(4).await;
    let mut answer = asked.await.expect("the broker is there");
    answer.sort_by_key(|end| end.partition.partition);
    assert_eq!(answer, wanted);
}

/// In the order of their partitions.
async fn ends<S: Subscriber>(subscriber: &S, partitions: &[TopicPartition]) -> Vec<Position> {
    let mut ends = subscriber
        .ends(partitions)
        .await
        .expect("the broker is there");
    ends.sort_by_key(|end| end.partition.partition);
    ends
}
