use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{Polled, Publisher as _, Start, Subscriber as _};
use bowline_test_services::Kafka;
use tokio::time::{sleep, timeout};

use crate::{config, number, numbered, own_broker, publisher, steer, topic};

const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u32 = 5;
/// Some forty records of each key are on their way at once.
const TURN: usize = 200;
/// So slowly that an outage comes in the middle.
const PAUSE: Duration = Duration::from_millis(60);
pub(crate) const COUNT: u32 = 10_000;

/// Publishes each record again until it is acknowledged; a key never passes a failed record.
pub(crate) async fn publish_all(config: Config, topic: Arc<str>, count: u32) -> u32 {
    let publisher = publisher(&config);
    let mut left: Vec<u32> = (0..count).collect();
    let mut failures = 0;
    while !left.is_empty() {
        let turn = left.len().min(TURN);
        let batch = left[..turn]
            .iter()
            .map(|n| numbered(&topic, *n, KEYS))
            .collect();
        let results = publisher.publish(batch).await;
        let mut results = results.into_iter();
        let mut failed = HashSet::new();
        left.retain(|n| match results.next() {
            Some(Ok(_)) => {
                assert!(!failed.contains(&(n % KEYS)), "{n} passed a failed record");
                false
            }
            Some(Err(error)) => {
                assert!(error.error().is_transient(), "{error:?}");
                failures += 1;
                failed.insert(n % KEYS);
                true
            }
            None => true,
        });
        sleep(PAUSE).await;
    }
    failures
}

/// Reads until every number up to `count` was seen, and checks the order of each key.
pub(crate) async fn expect_all(subscriber: &mut Subscriber, count: u32) {
    let mut seen: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let all = async {
        while seen.values().map(Vec::len).sum::<usize>() < count as usize {
            let max = NonZeroUsize::new(50).unwrap();
            match subscriber.poll(max).await {
                Ok(Polled::Records(records)) => {
                    for received in records {
                        let number = number(&received.record);
                        let key = seen.entry(number % KEYS).or_default();
                        // What was published twice is seen twice.
                        if !key.contains(&number) {
                            key.push(number);
                        }
                    }
                }
                Ok(Polled::Revoking(given)) => subscriber.release(&given).await.unwrap(),
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    timeout(PATIENCE, all).await.expect("everything comes");
    for numbers in seen.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

async fn publishing_goes_on(
    outage: fn(&Kafka) -> Result<(), bowline_test_services::Error>,
    end: fn(&Kafka) -> Result<(), bowline_test_services::Error>,
) {
    let broker = own_broker().await;
    let config = config(&broker);
    let topic = topic(&config, 3).await;
    let publishing = tokio::spawn(publish_all(config.clone(), Arc::clone(&topic), COUNT));
    sleep(Duration::from_millis(1_500)).await;
    steer(&broker, outage).await;
    sleep(Duration::from_secs(5)).await;
    assert!(!publishing.is_finished(), "the outage came too late");
    steer(&broker, end).await;
    let failures = timeout(PATIENCE, publishing)
        .await
        .expect("it goes on")
        .unwrap();
    assert!(failures > 0, "the outage was not noticed");

    let mut subscriber = Subscriber::new(&config).unwrap();
    let topics = [topic];
    subscriber
        .subscribe("group", &topics, Start::Earliest)
        .await
        .unwrap();
    expect_all(&mut subscriber, COUNT).await;
    subscriber.close().await.unwrap();
}

async fn subscribed(config: &Config, topic: &Arc<str>) -> Subscriber {
    let mut subscriber = Subscriber::new(config).unwrap();
    let topics = [Arc::clone(topic)];
    let subscribed = subscriber.subscribe("group", &topics, Start::Earliest);
    subscribed.await.unwrap();
    subscriber
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_goes_on_after_a_kill() {
    publishing_goes_on(Kafka::kill, Kafka::restart).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishing_goes_on_after_a_stall() {
    publishing_goes_on(Kafka::stop, Kafka::resume).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_after_a_restart() {
    let broker = own_broker().await;
    let config = config(&broker);
    let topic = topic(&config, 3).await;
    let mut subscriber = subscribed(&config, &topic).await;
    publish_all(config.clone(), Arc::clone(&topic), 100).await;
    expect_all(&mut subscriber, 100).await;
    steer(&broker, Kafka::restart).await;
    let publishing = tokio::spawn(publish_all(config, topic, 100));
    expect_all(&mut subscriber, 100).await;
    publishing.await.unwrap();
    subscriber.close().await.unwrap();
}

/// The broker cannot be told; the membership ends by timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_a_stalled_broker_ends() {
    let broker = own_broker().await;
    let config = config(&broker);
    let topic = topic(&config, 3).await;
    let mut subscriber = subscribed(&config, &topic).await;
    publish_all(config, topic, 100).await;
    expect_all(&mut subscriber, 100).await;
    steer(&broker, Kafka::stop).await;
    let closed = timeout(Duration::from_secs(15), subscriber.close()).await;
    if let Err(error) = closed.expect("it ends") {
        assert!(error.is_transient(), "{error:?}");
    }
}
