use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber, Topics};
use bowline::broker::{
    Created, Publisher as _, Record, SendStatus, Start, Subscriber as _, Topics as _,
};
use bowline::error::Kind;
use bowline_test_services::shared;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::{config, publisher, topic};

async fn shared_config() -> Config {
    let broker = spawn_blocking(shared::kafka).await.unwrap();
    config(broker.expect("a broker"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_topic_is_refused_at_once() {
    let config = shared_config().await;
    let publisher = publisher(&config);
    let started = Instant::now();
    let results = publisher
        .publish(vec![Record::new("nowhere", "lost")])
        .await;
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.error().kind(), Kind::NotFound);
    assert_eq!(error.status(), SendStatus::NotSent);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_only_the_broker_finds_too_large_is_not_sent() {
    let mut config = shared_config().await;
    config.max_record = 8 << 20;
    // Compressed, it would fit.
    let config = config.with_property("compression.type", "none");
    let topic = topic(&config, 1).await;
    let publisher = publisher(&config);
    let large = Record::new(Arc::clone(&topic), vec![7; 4 << 20]);
    let small = Record::new(topic, "small");
    let results = publisher.publish(vec![large]).await;
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.error().kind(), Kind::TooLarge);
    assert_eq!(error.status(), SendStatus::NotSent);

    let results = publisher.publish(vec![small]).await;
    let appended = results.into_iter().next().unwrap().expect("it goes on");
    assert_eq!(appended.offset, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_created_once_and_as_asked() {
    let config = shared_config().await;
    let topic = topic(&config, 3).await;
    let topics = Topics::new(&config).unwrap();
    let [two, three] = [2, 3].map(|n| NonZeroU32::new(n).unwrap());
    assert_eq!(
        topics.create(&topic, three).await.unwrap(),
        Created::Existed
    );
    let other = topics.create(&topic, two).await.unwrap_err();
    assert_eq!(other.kind(), Kind::Conflict);
    for bad in ["", "a b", "..", &"x".repeat(250)] {
        let error = topics.create(bad, two).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_down_is_unavailable_soon() {
    // Bound, and not listening: nobody else can take it.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = Config::new(socket.local_addr().unwrap().to_string());

    let bound = Duration::from_secs(15);
    let publishing = async {
        let publisher = publisher(&config);
        let results = publisher.publish(vec![Record::new("topic", "x")]).await;
        let error = results.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.error().kind(), Kind::Unavailable);
        assert_eq!(error.status(), SendStatus::NotSent);
    };
    let subscribing = async {
        let mut subscriber = Subscriber::new(&config).unwrap();
        let topics = ["topic".into()];
        let failed = subscriber
            .subscribe("group", &topics, Start::Earliest)
            .await;
        assert_eq!(failed.unwrap_err().kind(), Kind::Unavailable);
    };
    let creating = async {
        let one = NonZeroU32::new(1).unwrap();
        let failed = Topics::new(&config).unwrap().create("topic", one).await;
        assert_eq!(failed.unwrap_err().kind(), Kind::Unavailable);
    };
    let all = async { tokio::join!(publishing, subscribing, creating) };
    timeout(bound, all).await.expect("within bounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_for_many_topics_asks_a_broker_that_is_down_once() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = Config::new(socket.local_addr().unwrap().to_string());
    let batch =
        (0..100).map(|n| Record::new(format!("topic-{}", n % 20), "x").with_key(n.to_string()));
    let publisher = publisher(&config);
    let publishing = publisher.publish(batch.collect());
    let results = timeout(Duration::from_secs(15), publishing).await;
    for result in results.expect("within bounds") {
        let error = result.unwrap_err();
        assert_eq!(error.error().kind(), Kind::Unavailable);
        assert_eq!(error.status(), SendStatus::NotSent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_no_client_can_name_is_refused() {
    let config = shared_config().await;
    let mut record = Record::new(topic(&config, 2).await, "x");
    record.partition = Some(u32::MAX);
    let results = publisher(&config).publish(vec![record]).await;
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.error().kind(), Kind::Invalid);
    assert_eq!(error.status(), SendStatus::NotSent);
    let detail = error.error().detail().unwrap_or_default();
    assert!(detail.ends_with("has 0 to 1"), "{detail}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_an_error_that_says_so() {
    let config = shared_config().await;
    let topic = topic(&config, 1).await;
    let config = config
        .with_property("security.protocol", "SASL_PLAINTEXT")
        .with_property("sasl.mechanism", "PLAIN")
        .with_property("sasl.username", "somebody")
        .with_property("sasl.password", "wrong");
    let publishing = async {
        let publisher = publisher(&config);
        let results = publisher
            .publish(vec![Record::new(Arc::clone(&topic), "x")])
            .await;
        let error = results.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.error().kind(), Kind::Unauthorized, "{error:?}");
        assert_eq!(error.status(), SendStatus::NotSent);
    };
    let subscribing = async {
        let mut subscriber = Subscriber::new(&config).unwrap();
        let topics = [Arc::clone(&topic)];
        let failed = subscriber
            .subscribe("group", &topics, Start::Earliest)
            .await;
        let error = failed.unwrap_err();
        assert_eq!(error.kind(), Kind::Unauthorized, "{error:?}");
    };
    let both = async { tokio::join!(publishing, subscribing) };
    timeout(Duration::from_secs(15), both)
        .await
        .expect("within bounds");
}
