//! All or nothing: records and positions of a transaction, by producers that die and come back.

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber, Transaction, Transactional};
use bowline::broker::{
    Assignment, Commit, Committed, Polled, Record, SendStatus, Start, Subscriber as _,
    TopicPartition,
};
use bowline::error::Kind;
use bowline_test_services::{Kafka, shared};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::{config, number, numbered, own_broker, steer, topic};

const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than anything may wait once the broker is back: a call that began during the outage takes 20 s
/// (the time of a message, and a question to the broker), twice that when it has to abort first, and one
/// that the driver does not end is given up after 50 s. What is left of a producer that is gone keeps
/// the group waiting for 30 s (twice the time of a message, and the broker looks every 10 s).
const STANDSTILL: Duration = Duration::from_secs(180);
/// How many numbers a transaction of the relay holds.
const STEP: u32 = 50;

pub(crate) async fn shared_config() -> Config {
    let broker = spawn_blocking(shared::kafka).await.unwrap();
    config(broker.expect("a broker"))
}

pub(crate) async fn connect(config: &Config, id: &str) -> Transactional {
    let connected = Transactional::connect(config, id);
    connected.await.expect("a producer")
}

async fn subscribed(config: &Config, group: &str, topic: &Arc<str>) -> Subscriber {
    let mut subscriber = Subscriber::new(config).unwrap();
    let topics = [Arc::clone(topic)];
    let subscribed = subscriber.subscribe(group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    subscriber
}

/// The numbers that a new group reads in `topic` up to the record `last`, and its assignment.
async fn seen(subscriber: &mut Subscriber, last: u32) -> (Vec<u32>, Assignment) {
    let (mut numbers, mut assignment) = (Vec::new(), None);
    let all = async {
        while numbers.last() != Some(&last) {
            let polled = subscriber.poll(NonZeroUsize::new(100).unwrap()).await;
            match polled.unwrap() {
                Polled::Records(records) => {
                    numbers.extend(records.iter().map(|received| number(&received.record)));
                }
                Polled::Assigned(mut assigned) => {
                    assignment = assigned.pop().map(|one| one.assignment);
                }
                _ => {}
            }
        }
    };
    timeout(PATIENCE, all).await.expect("everything comes");
    (numbers, assignment.expect("a partition"))
}

pub(crate) async fn seen_by_a_new_group(config: &Config, topic: &Arc<str>, last: u32) -> Vec<u32> {
    let group = format!("group-{}", uuid::Uuid::now_v7().simple());
    let mut subscriber = subscribed(config, &group, topic).await;
    let (numbers, _) = seen(&mut subscriber, last).await;
    subscriber.close().await.unwrap();
    numbers
}

pub(crate) fn batch(topic: &Arc<str>, numbers: std::ops::Range<u32>) -> Vec<Record> {
    numbers.map(|n| numbered(topic, n, 1)).collect()
}

pub(crate) async fn publish(transaction: &mut Transaction<'_>, batch: Vec<Record>) {
    for result in transaction.publish(batch).await {
        result.expect("appended");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_seen_in_order_and_what_was_aborted_is_not() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let mut producer = connect(&config, &topic).await;
    for turn in 0..4 {
        let numbers = turn * 500..(turn + 1) * 500;
        let mut transaction = producer.begin().await.unwrap();
        publish(&mut transaction, batch(&topic, numbers)).await;
        match turn {
            0 | 3 => transaction.commit().await.unwrap(),
            1 => transaction.abort().await.unwrap(),
            // Aborted by the next.
            _ => drop(transaction),
        }
    }
    let expected: Vec<u32> = (0..500).chain(1_500..2_000).collect();
    let seen = seen_by_a_new_group(&config, &topic, 1_999).await;
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_with_the_same_id_is_fenced_and_nothing_of_it_is_seen() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let mut zombie = connect(&config, &topic).await;
    let mut old = zombie.begin().await.unwrap();
    publish(&mut old, batch(&topic, 0..10)).await;

    let mut heir = connect(&config, &topic).await;
    let mut transaction = heir.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 10..20)).await;
    let late = old.publish(batch(&topic, 20..30)).await;
    assert!(late.iter().all(Result::is_err), "{late:?}");
    assert_eq!(old.commit().await.unwrap_err().kind(), Kind::Fenced);
    let again = zombie.begin().await.unwrap_err();
    assert_eq!(again.kind(), Kind::Fenced, "{again:?}");

    transaction.commit().await.unwrap();
    let mut transaction = heir.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 30..31)).await;
    transaction.commit().await.unwrap();
    let expected: Vec<u32> = (10..20).chain(30..31).collect();
    assert_eq!(seen_by_a_new_group(&config, &topic, 30).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_moves_with_the_records_of_its_transaction_and_never_without() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let group = format!("relay-of-{topic}");
    let lane = TopicPartition::new(Arc::clone(&topic), 0);
    let at = |next| Committed::new(next).with_metadata(format!("up to {next}"));
    let mut producer = connect(&config, &topic).await;
    assert_eq!(producer.position(&group, &lane).await.unwrap(), None);
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 0..5)).await;
    let moved = transaction.commit_position(&group, &lane, &at(5)).await;
    moved.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(producer.position(&group, &lane).await.unwrap(), Some(at(5)));

    // A crash: nothing of it is left, and the next one goes on from the position.
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 100..110)).await;
    let moved = transaction.commit_position(&group, &lane, &at(110)).await;
    moved.unwrap();
    drop(transaction);
    drop(producer);
    let mut producer = connect(&config, &topic).await;
    assert_eq!(producer.position(&group, &lane).await.unwrap(), Some(at(5)));
    let mut transaction = producer.begin().await.unwrap();
    let long = Committed::new(6).with_metadata("x".repeat(5_000));
    let refused = transaction.commit_position(&group, &lane, &long).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::TooLarge);
    publish(&mut transaction, batch(&topic, 5..10)).await;
    let moved = transaction.commit_position(&group, &lane, &at(10)).await;
    moved.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(
        producer.position(&group, &lane).await.unwrap(),
        Some(at(10))
    );
    let expected: Vec<u32> = (0..10).collect();
    assert_eq!(seen_by_a_new_group(&config, &topic, 9).await, expected);
}

/// The limit of the topic, not ours: the broker finds it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_with_a_refused_record_is_aborted_and_the_next_one_is_not() {
    let mut config = shared_config().await;
    config.max_record = 8 << 20;
    let config = config.with_property("compression.type", "none");
    let topic = topic(&config, 1).await;
    let mut producer = connect(&config, &topic).await;
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&topic, 0..10)).await;
    let large = Record::new(Arc::clone(&topic), vec![7; 4 << 20]).with_key("0");
    let result = transaction.publish(vec![large]).await.remove(0);
    let failed = result.unwrap_err();
    assert_eq!(failed.error().kind(), Kind::TooLarge);
    assert_eq!(failed.status(), SendStatus::NotSent);
    let after = transaction.publish(batch(&topic, 10..12)).await;
    for failed in after.into_iter().map(Result::unwrap_err) {
        assert_eq!(failed.error().kind(), Kind::Contention, "{failed:?}");
        assert_eq!(failed.status(), SendStatus::NotSent);
    }
    let failed = transaction.commit().await.unwrap_err();
    assert!(
        !matches!(failed.kind(), Kind::Fenced | Kind::Closed),
        "{failed:?}"
    );
    // The driver finds the gap that the record has left in the next transaction, and only there.
    for last in [false, true] {
        let mut transaction = producer.begin().await.expect("aborts the last");
        let results = transaction.publish(batch(&topic, 10..20)).await;
        let mut failed = results.iter().filter_map(|result| result.as_ref().err());
        assert!(failed.all(|failed| !last && failed.error().is_transient()));
        match transaction.commit().await {
            Ok(()) => break,
            Err(failed) => assert!(!last && failed.is_transient(), "{failed:?}"),
        }
    }
    let expected: Vec<u32> = (10..20).collect();
    assert_eq!(seen_by_a_new_group(&config, &topic, 19).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_the_group_has_given_up_commits_nothing() {
    let config = shared_config().await;
    let config = config.with_session_timeout(Duration::from_secs(6));
    let (source, target) = (topic(&config, 1).await, topic(&config, 1).await);
    let group = format!("group-of-{source}");
    let mut producer = connect(&config, &source).await;
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&source, 0..10)).await;
    transaction.commit().await.unwrap();

    // What it has handled moves with what came of it.
    let mut zombie = subscribed(&config, &group, &source).await;
    let (_, assignment) = seen(&mut zombie, 9).await;
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&target, 0..3)).await;
    let handled = [Commit::new(assignment.clone(), 3)];
    let consumed = transaction.commit_consumed(&zombie, &handled).await;
    consumed.unwrap();
    transaction.commit().await.unwrap();
    let place = assignment.partition.clone();
    let position = producer.position(&group, &place).await.unwrap();
    assert_eq!(position, Some(Committed::new(3)));

    // It does not poll for longer than it may, and another member comes.
    let mut heir = subscribed(&config, &group, &source).await;
    let (numbers, _) = seen(&mut heir, 9).await;
    assert_eq!(numbers, (3..10).collect::<Vec<_>>());
    let mut transaction = producer.begin().await.unwrap();
    publish(&mut transaction, batch(&target, 100..103)).await;
    let handled = [Commit::new(assignment, 10)];
    let consumed = transaction.commit_consumed(&zombie, &handled).await;
    assert_eq!(consumed.unwrap_err().kind(), Kind::Fenced);
    transaction.abort().await.unwrap();
    let position = producer.position(&group, &place).await.unwrap();
    assert_eq!(position, Some(Committed::new(3)));
    heir.close().await.unwrap();
}

/// How far a relay has come, and what went wrong last.
#[derive(Debug, Default)]
struct Progress {
    next: u64,
    problem: Option<String>,
}

/// Publishes the numbers up to `end` in transactions of `STEP`, through whatever outage. The position
/// says what became of each transaction whose commit was not answered.
async fn relay(
    config: Config,
    place: TopicPartition,
    end: u32,
    progress: watch::Sender<Progress>,
) -> Result<(), bowline::Error> {
    let note = |failed: &dyn Debug| {
        progress.send_modify(|progress| progress.problem = Some(format!("{failed:?}")));
    };
    loop {
        let mut producer = match Transactional::connect(&config, "relay").await {
            Ok(producer) => producer,
            Err(error) if error.is_transient() => {
                note(&error);
                continue;
            }
            Err(error) => return Err(error),
        };
        loop {
            let from = match producer.position("relay", &place).await {
                Ok(committed) => committed.map_or(0, |committed| committed.next),
                Err(error) if error.kind() == Kind::Closed => {
                    note(&error);
                    break;
                }
                Err(error) if error.is_transient() => {
                    note(&error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            progress.send_modify(|progress| progress.next = from);
            let from = u32::try_from(from).unwrap();
            if from >= end {
                return Ok(());
            }
            if let Err(failed) = step(&mut producer, &place, from..from + STEP).await {
                note(&failed);
            }
        }
    }
}

/// One transaction, and the position behind it.
async fn step(
    producer: &mut Transactional,
    place: &TopicPartition,
    numbers: std::ops::Range<u32>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let to = Committed::new(u64::from(numbers.end));
    let mut transaction = producer.begin().await?;
    for result in transaction.publish(batch(&place.topic, numbers)).await {
        result?;
    }
    transaction.commit_position("relay", place, &to).await?;
    Ok(transaction.commit().await?)
}

/// Waits until a relay has come to `next`, for as long as it takes, but not while it stands still.
async fn comes_to(next: u64, progress: &mut watch::Receiver<Progress>) {
    loop {
        let now = progress.borrow_and_update().next;
        if now >= next {
            return;
        }
        let moved = timeout(STANDSTILL, progress.wait_for(|new| new.next > now)).await;
        let ended = moved.map(|ended| ended.map(drop).map_err(drop));
        match ended {
            Ok(Ok(())) => {}
            // It has ended; what it returns tells.
            Ok(Err(())) => return,
            Err(_) => panic!("it stands still: {:?}", progress.borrow()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_in_the_middle_of_commits_loses_and_doubles_nothing() {
    const END: u32 = 3_000;
    let broker = own_broker().await;
    let config = config(&broker).with_message_timeout(Duration::from_secs(10));
    let topic = topic(&config, 1).await;
    let place = TopicPartition::new(Arc::clone(&topic), 0);
    let (progress, mut seen) = watch::channel(Progress::default());
    let relay = tokio::spawn(relay(config.clone(), place, END, progress));
    for kill in 1..3 {
        // On a slow machine too it is in the middle.
        comes_to(u64::from(END * kill / 3), &mut seen).await;
        assert!(!relay.is_finished(), "the outage came too late");
        steer(&broker, Kafka::restart).await;
    }
    comes_to(u64::from(END), &mut seen).await;
    relay.await.unwrap().expect("it goes on");
    let expected: Vec<u32> = (0..END).collect();
    let found = seen_by_a_new_group(&config, &topic, END - 1).await;
    assert_eq!(found, expected);
}
