//! Many records of a key on their way: what follows a record that failed must not be there.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{
    Appended, Polled, PublishError, Publisher as _, Record, SendStatus, Start, Subscriber as _,
};
use bowline::error::Kind;
use bowline_test_services::shared;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::{config, number, numbered, publisher, topic};

type Results = Vec<Result<Appended, PublishError>>;

/// The most that a broker takes in one request to a [`narrow`] topic.
const LIMIT: usize = 10_000;

async fn shared_config() -> Config {
    let broker = spawn_blocking(shared::kafka).await.unwrap();
    // What is too large must not become small.
    // On a slow machine too no record is late.
    config(broker.expect("a broker"))
        .with_message_timeout(Config::MESSAGE_TIMEOUT)
        .with_property("compression.type", "none")
}

fn admin(config: &Config) -> AdminClient<DefaultClientContext> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.servers);
    client.create().unwrap()
}

/// A topic that takes less than a publisher sends.
async fn narrow(config: &Config, partitions: i32) -> Arc<str> {
    let name: Arc<str> = format!("narrow-{}", uuid::Uuid::now_v7().simple()).into();
    let limit = LIMIT.to_string();
    let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1))
        .set("max.message.bytes", &limit);
    let options = AdminOptions::new();
    let created = admin(config).create_topics(&[new], &options).await;
    created.unwrap().remove(0).unwrap();
    sleep(Duration::from_millis(500)).await;
    name
}

fn large(topic: &Arc<str>, key: &str) -> Record {
    Record::new(Arc::clone(topic), vec![7; 2 * LIMIT]).with_key(key.to_owned())
}

/// All numbers in `topic`, by key, as they stand there.
async fn stored(config: &Config, topic: &Arc<str>, count: usize) -> BTreeMap<String, Vec<u32>> {
    let mut subscriber = Subscriber::new(config).unwrap();
    let group = format!("group-of-{topic}");
    let topics = [Arc::clone(topic)];
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let (mut keys, mut seen) = (BTreeMap::<String, Vec<u32>>::new(), 0);
    // What should not be there would come soon after the rest.
    let patience = |seen| Duration::from_secs(if seen < count { 60 } else { 2 });
    let max = NonZeroUsize::new(1_000).unwrap();
    while let Ok(polled) = timeout(patience(seen), subscriber.poll(max)).await {
        if let Polled::Records(records) = polled.unwrap() {
            seen += records.len();
            for received in records {
                let key = received.record.key.clone().unwrap();
                let key = String::from_utf8(key.to_vec()).unwrap();
                keys.entry(key).or_default().push(number(&received.record));
            }
        }
    }
    subscriber.close().await.unwrap();
    keys
}

/// How many of `results` were acknowledged before the first that was not; nothing is after it.
fn prefix(results: &Results) -> usize {
    let prefix = results.iter().take_while(|result| result.is_ok()).count();
    let after = results[prefix..].iter().filter(|r| r.is_ok()).count();
    assert_eq!(after, 0, "acknowledged after a failure at {prefix}");
    prefix
}

/// A broker that does not know a producer takes whatever comes first, so the very first record matters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_a_record_that_the_broker_refused() {
    let config = shared_config().await;
    let publisher = publisher(&config);
    for at in [0_u32, 1, 250, 999] {
        let topic = narrow(&config, 1).await;
        let mut batch: Vec<_> = (0..1_000).map(|n| numbered(&topic, n, 1)).collect();
        batch[at as usize] = large(&topic, "0");
        let results = publisher.publish(batch).await;
        assert_eq!(prefix(&results), at as usize);
        let mut failed = results[at as usize..]
            .iter()
            .map(|r| r.as_ref().unwrap_err());
        let refused = failed.next().unwrap();
        assert_eq!(refused.error().kind(), Kind::TooLarge, "{refused:?}");
        assert_eq!(refused.status(), SendStatus::NotSent);
        for held in failed {
            assert_eq!(held.error().kind(), Kind::Contention, "{held:?}");
            assert_eq!(held.status(), SendStatus::NotSent);
        }
        let stored = stored(&config, &topic, at as usize).await;
        let expected: Vec<u32> = (0..at).collect();
        assert_eq!(stored.get("0").cloned().unwrap_or_default(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_holds_up_no_other_key_and_no_other_topic() {
    let config = shared_config().await;
    let publisher = publisher(&config);
    let (bad, good) = (narrow(&config, 3).await, topic(&config, 3).await);
    let mut batch = Vec::new();
    for n in 0..1_000 {
        batch.push(numbered(&bad, n, 10));
        batch.push(numbered(&good, n, 10));
    }
    batch[2 * 503] = large(&bad, "3");
    let others = |publisher: bowline::broker::kafka::Publisher, topic: Arc<str>| async move {
        for call in 0..5 {
            let batch = (0..1_000).map(|n| numbered(&topic, 1_000 * call + n, 10));
            for result in publisher.publish(batch.collect()).await {
                result.expect("nothing is wrong with it");
            }
        }
    };
    let elsewhere = topic(&config, 3).await;
    let (results, ()) = tokio::join!(
        publisher.publish(batch),
        others(publisher.clone(), Arc::clone(&elsewhere))
    );
    let failed = |n: u32| n % 10 == 3 && n >= 503;
    for (index, result) in (0_u32..).zip(&results) {
        let (n, is_bad) = (index / 2, index % 2 == 0);
        assert_eq!(result.is_err(), is_bad && failed(n), "{n}: {result:?}");
    }
    let expected = |count: u32, kept: &dyn Fn(u32) -> bool| {
        let keys = (0..10).map(|key| (key.to_string(), (0..count).filter(move |n| n % 10 == key)));
        keys.map(|(key, all)| (key, all.filter(|n| kept(*n)).collect()))
            .collect::<BTreeMap<_, Vec<_>>>()
    };
    let kept = |n| !failed(n);
    assert_eq!(stored(&config, &bad, 950).await, expected(1_000, &kept));
    assert_eq!(
        stored(&config, &good, 1_000).await,
        expected(1_000, &|_| true)
    );
    let all = stored(&config, &elsewhere, 5_000).await;
    assert_eq!(all, expected(5_000, &|_| true));
}

/// The limit is one of requests, and the driver puts many records into one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_too_large_only_together_are_all_appended() {
    let config = shared_config().await;
    let topic = narrow(&config, 1).await;
    let batch = (0..2_000).map(|n| numbered(&topic, n, 4)).collect();
    for result in publisher(&config).publish(batch).await {
        result.expect("none is too large");
    }
    let stored = stored(&config, &topic, 2_000).await;
    for (key, numbers) in stored {
        let key: u32 = key.parse().unwrap();
        let expected: Vec<_> = (0..2_000).filter(|n| n % 4 == key).collect();
        assert_eq!(numbers, expected);
    }
}

/// What the user says of requests holds for the others, not for those that go one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_record_takes_no_other_with_it_whatever_a_request_may_hold() {
    let config = shared_config().await;
    let config = config.with_property("batch.num.messages", "1000");
    // Long enough for a request to be filled.
    let publisher = publisher(&config.clone().with_property("linger.ms", "100"));
    let topic = narrow(&config, 1).await;
    let mut batch: Vec<_> = (0..10).map(|n| numbered(&topic, n, 10)).collect();
    batch[3] = large(&topic, "3");
    let results = publisher.publish(batch).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n == 3, "{n}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_records_go_one_by_one_ends_when_its_time_is_up() {
    let config = shared_config().await;
    let publisher = publisher(&config.with_message_timeout(Duration::from_secs(3)));
    let config = shared_config().await;
    let topic = narrow(&config, 1).await;
    let refused = publisher.publish(vec![large(&topic, "0")]).await;
    assert_eq!(prefix(&refused), 0);
    let batch = (0..50_000).map(|n| numbered(&topic, n, 1)).collect();
    let publishing = timeout(Duration::from_secs(30), publisher.publish(batch));
    let results = publishing.await.expect("within bounds");
    let first = prefix(&results);
    assert!(first > 0);
    let late = results[first].as_ref().unwrap_err();
    assert_eq!(late.error().kind(), Kind::Timeout, "{late:?}");
    assert_eq!(late.status(), SendStatus::NotSent);
}

/// Its records would not stop together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_sent_to_two_partitions_stops_in_both() {
    let config = shared_config().await;
    let topic = narrow(&config, 2).await;
    let mut batch: Vec<_> = (0..100).map(|n| numbered(&topic, n, 1)).collect();
    for (n, record) in (0..).zip(&mut batch) {
        record.partition = Some(n % 2);
    }
    let good = batch.clone();
    batch[50] = large(&topic, "0");
    batch[50].partition = Some(0);
    let publisher = publisher(&config);
    assert_eq!(prefix(&publisher.publish(batch).await), 50);
    assert_eq!(prefix(&publisher.publish(good).await), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_in_the_middle_ends_each_batch_in_one_place() {
    let config = shared_config().await;
    let config = config.with_message_timeout(Duration::from_secs(3));
    let topic = topic(&config, 1).await;
    let publishing = {
        let (publisher, topic) = (publisher(&config), Arc::clone(&topic));
        async move {
            let (mut failed, mut acknowledged) = (0, 0);
            while failed < 3 {
                let batch = (0..500).map(|n| numbered(&topic, n, 1)).collect();
                let results = publisher.publish(batch).await;
                let prefix = prefix(&results);
                if let Some(Err(error)) = results.get(prefix) {
                    let (kind, error) = (error.error().kind(), error);
                    let known = kind == Kind::NotFound || error.error().is_transient();
                    assert!(known, "{error:?}");
                    failed += 1;
                }
                acknowledged += prefix;
            }
            acknowledged
        }
    };
    let deleting = async {
        sleep(Duration::from_millis(700)).await;
        let admin = admin(&config);
        let deleted = admin.delete_topics(&[&topic], &AdminOptions::new()).await;
        deleted.unwrap().remove(0).unwrap();
    };
    let both = async { tokio::join!(publishing, deleting).0 };
    let acknowledged = timeout(Duration::from_secs(60), both).await;
    assert!(acknowledged.expect("it ends") > 0);
}
