use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::Subscriber;
use bowline::broker::{Polled, Publisher as _, Start, Subscriber as _, TopicPartition};
use bowline_test_services::shared;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::task::spawn_blocking;

use crate::{config, numbered, publisher, topic};

const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody can read it, so nobody is behind by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_has_written_is_behind_the_end_until_it_is_committed() {
    let broker = spawn_blocking(shared::kafka).await.unwrap().unwrap();
    let config = config(broker);
    let topic = topic(&config, 1).await;
    let results = publisher(&config)
        .publish(vec![numbered(&topic, 0, 1)])
        .await;
    assert!(results.iter().all(Result::is_ok));

    let mut subscriber = Subscriber::new(&config).unwrap();
    let group = format!("group-of-{topic}");
    let topics = [Arc::clone(&topic)];
    subscriber
        .subscribe(&group, &topics, Start::Earliest)
        .await
        .unwrap();
    while !matches!(
        subscriber
            .poll(bowline::consumer::Config::DEFAULT_QUEUE)
            .await,
        Ok(Polled::Records(_))
    ) {}
    let partition = [TopicPartition::new(Arc::clone(&topic), 0)];
    let end = async || subscriber.ends(&partition).await.unwrap()[0].offset;
    assert_eq!(end().await, 1);

    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.address());
    client.set("transactional.id", &*topic);
    let producer: BaseProducer = client.create().unwrap();
    let name = Arc::clone(&topic);
    let producer = spawn_blocking(move || {
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..3 {
            let record: BaseRecord<'_, str, str> = BaseRecord::to(&name).payload("x");
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        producer
    });
    let producer = producer.await.unwrap();
    assert_eq!(end().await, 1, "it may never be committed");
    let committed = spawn_blocking(move || producer.commit_transaction(PATIENCE));
    committed.await.unwrap().unwrap();
    // Three records, and what ends the transaction.
    assert_eq!(end().await, 5);
    subscriber.close().await.unwrap();
}
