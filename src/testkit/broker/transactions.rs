use std::sync::Arc;

use super::{Harness, Member, numbered, topic, unique};
use crate::broker::{
    Appended, Committed, PublishError, Record, SendStatus, Start, TopicPartition, Transactional,
    Transactions,
};
use crate::error::{Error, Kind};

/// Runs every case of [`Transactions`], for brokers that have them; `transactions` are those of the
/// harness's broker.
pub async fn transactions<H: Harness>(harness: &H, transactions: &impl Transactions) {
    a_batch_and_its_position_are_there_together_or_not_at_all(harness, transactions).await;
    who_takes_an_id_over_fences_the_one_before(harness, transactions).await;
}

/// A record that is refused takes its batch and the position with it; so does a position.
pub async fn a_batch_and_its_position_are_there_together_or_not_at_all<H: Harness>(
    harness: &H,
    transactions: &impl Transactions,
) {
    let topic = topic(harness, 1).await;
    let work = Work::new(&topic);
    assert!(transactions.connect("").await.is_err(), "it has no name");
    let producer = transactions.connect(&work.group).await;
    let mut producer = producer.expect("connected");
    assert_eq!(work.position(&mut producer).await, None);
    let published = work.publish(&mut producer, numbered(&topic, 0, 5), 1).await;
    assert!(all_there(published));

    let missing = Record::new("missing", "0").with_key("missing");
    let large = Record::new(Arc::clone(&topic), vec![0; harness.too_large()]).with_key("large");
    for (refused, kind) in [(missing, Kind::NotFound), (large, Kind::TooLarge)] {
        let mut batch = numbered(&topic, 100, 102);
        batch.insert(1, refused);
        let results = work.publish(&mut producer, batch, 2).await;
        let results = results.expect("an answer for each");
        assert_eq!(results.len(), 3);
        let failed = results[1].as_ref().expect_err("refused");
        assert_eq!(failed.error().kind(), kind);
        assert_eq!(failed.status(), SendStatus::NotSent);
        assert_eq!(work.position(&mut producer).await, Some(work.at(1)));
    }
    let long = "x".repeat(producer.max_metadata() + 1);
    let long = Committed::new(2).with_metadata(long);
    let batch = numbered(&topic, 100, 102);
    let refused = producer.publish(batch, &work.group, &work.place, &long);
    assert_eq!(refused.await.expect_err("too long").kind(), Kind::TooLarge);
    assert_eq!(work.position(&mut producer).await, Some(work.at(1)));

    // Nothing but a position, and then what is seen behind the batches that are not.
    assert!(all_there(work.publish(&mut producer, Vec::new(), 2).await));
    assert_eq!(work.position(&mut producer).await, Some(work.at(2)));
    let published = work.publish(&mut producer, numbered(&topic, 5, 8), 3).await;
    assert!(all_there(published));
    assert_eq!(work.position(&mut producer).await, Some(work.at(3)));
    seen(harness, &topic, 8).await;
}

/// Nothing is seen of a producer whose id another one has; the other one goes on from its position.
pub async fn who_takes_an_id_over_fences_the_one_before<H: Harness>(
    harness: &H,
    transactions: &impl Transactions,
) {
    let topic = topic(harness, 1).await;
    let work = Work::new(&topic);
    let first = transactions.connect(&work.group).await;
    let mut first = first.expect("connected");
    let published = work.publish(&mut first, numbered(&topic, 0, 3), 1).await;
    assert!(all_there(published));

    let heir = transactions.connect(&work.group).await;
    let mut heir = heir.expect("connected");
    assert_eq!(work.position(&mut heir).await, Some(work.at(1)));
    for _ in 0..2 {
        let late = work
            .publish(&mut first, numbered(&topic, 100, 103), 9)
            .await;
        assert_eq!(late.expect_err("fenced").kind(), Kind::Fenced);
    }
    let published = work.publish(&mut heir, numbered(&topic, 3, 6), 2).await;
    assert!(all_there(published));
    assert_eq!(work.position(&mut heir).await, Some(work.at(2)));
    seen(harness, &topic, 6).await;
}

/// What a producer does, and where it notes how far it has come.
struct Work {
    group: Arc<str>,
    place: TopicPartition,
}

impl Work {
    fn new(topic: &Arc<str>) -> Self {
        Self {
            group: unique("work"),
            place: TopicPartition::new(Arc::clone(topic), 0),
        }
    }

    fn at(&self, next: u64) -> Committed {
        Committed::new(next).with_metadata(format!("{} at {next}", self.group))
    }

    async fn publish<P: Transactional>(
        &self,
        producer: &mut P,
        batch: Vec<Record>,
        next: u64,
    ) -> Result<Vec<Result<Appended, PublishError>>, Error> {
        let committed = self.at(next);
        let published = producer.publish(batch, &self.group, &self.place, &committed);
        published.await
    }

    async fn position<P: Transactional>(&self, producer: &mut P) -> Option<Committed> {
        let position = producer.position(&self.group, &self.place).await;
        position.expect("an answer")
    }
}

fn all_there(published: Result<Vec<Result<Appended, PublishError>>, Error>) -> bool {
    let results = published.expect("an answer for each");
    results.iter().all(Result::is_ok)
}

/// The records from 0 up to `count` are in `topic`, once each and in order, and then others.
async fn seen<H: Harness>(harness: &H, topic: &Arc<str>, count: u32) {
    let last = numbered(topic, count, count + 1);
    super::publish(harness, last).await;
    let mut member = Member::alone(harness, &unique("group"), topic, Start::Earliest, 1).await;
    member
        .read(usize::try_from(count).expect("a few") + 1)
        .await;
    assert_eq!(member.numbers(), Vec::from_iter(0..=count));
}
