//! Three brokers, of which one or two are killed.

use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{Publisher as _, Start, Subscriber as _};
use bowline_test_services::Kafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::outages::{COUNT, expect_all, publish_all};
use crate::{numbered, publisher, steer, topic};

const PATIENCE: Duration = Duration::from_secs(60);

/// Which broker, from 1, leads the only partition of `topic`.
async fn leader(config: &Config, topic: &Arc<str>) -> usize {
    let (servers, topic) = (config.servers.clone(), Arc::clone(topic));
    let ask = move || {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", servers);
        let client: BaseConsumer = client.create().unwrap();
        let metadata = client.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        metadata.topics()[0].partitions()[0].leader()
    };
    usize::try_from(spawn_blocking(ask).await.unwrap()).expect("there is one")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_killed_leader_and_work_goes_on() {
    let brokers = spawn_blocking(Kafka::cluster).await.unwrap();
    let brokers = brokers.expect("three brokers").map(Arc::new);
    let servers: Vec<_> = brokers.iter().map(|broker| broker.url()).collect();
    let config = Config::new(servers.join(",")).with_message_timeout(Duration::from_secs(5));
    let topic = topic(&config, 1).await;
    let publishing = tokio::spawn(publish_all(config.clone(), Arc::clone(&topic), COUNT));
    let mut subscriber = Subscriber::new(&config).unwrap();
    let topics = [Arc::clone(&topic)];
    let subscribed = subscriber.subscribe("group", &topics, Start::Earliest);
    subscribed.await.unwrap();
    let killing = async {
        sleep(Duration::from_millis(1_000)).await;
        let leader = leader(&config, &topic).await;
        assert!(!publishing.is_finished(), "the outage comes too late");
        steer(&brokers[leader - 1], Kafka::kill).await;
        leader
    };
    let (killed, ()) = tokio::join!(killing, expect_all(&mut subscriber, COUNT));
    let published = timeout(PATIENCE, publishing).await;
    published.expect("it goes on").unwrap();
    subscriber.close().await.unwrap();

    // One of three acknowledges nothing.
    let next = leader(&config, &topic).await;
    let other = (1..=3).find(|id| ![killed, next].contains(id)).unwrap();
    steer(&brokers[other - 1], Kafka::kill).await;
    let publisher = publisher(&config);
    let result = publisher
        .publish(vec![numbered(&topic, 0, 1)])
        .await
        .remove(0);
    let failed = result.expect_err("two of three are down");
    assert!(failed.error().is_transient(), "{failed:?}");
    steer(&brokers[other - 1], Kafka::restart).await;
    let again = async {
        while publisher.publish(vec![numbered(&topic, 0, 1)]).await[0].is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, again).await.expect("it goes on");
}
