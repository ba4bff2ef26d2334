//! What others write into our topics, and a broker that comes late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{Delivery, Publisher as _, Record, UNREADABLE_HEADERS};
use bowline::consumer::Consumer;
use bowline::dlq::{DeadLetterLayer, Filter, Memory, Store as _};
use bowline::error::BoxError;
use bowline::message::Message;
use bowline::shutdown::Token;
use bowline_test_services::{Kafka, shared};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tower::{Layer as _, service_fn};

use crate::raw::produce;
use crate::{config, own_broker, publisher, steer, topic};

const PATIENCE: Duration = Duration::from_secs(60);

type Ids = Arc<Mutex<Vec<String>>>;

/// Writes down the ids of the messages in `topic`; what is none becomes a dead letter.
fn consume(
    config: &Config,
    topic: &Arc<str>,
    letters: &Memory,
    seen: &Ids,
) -> JoinHandle<Result<(), bowline::Error>> {
    let seen = Arc::clone(seen);
    let handler = service_fn(move |delivery: Delivery| {
        let seen = Arc::clone(&seen);
        async move {
            let message = delivery.try_message()?;
            seen.lock().unwrap().push(message.id().as_str().to_owned());
            Ok::<_, BoxError>(())
        }
    });
    let handler = DeadLetterLayer::new(letters.clone()).layer(handler);
    let consumer = Consumer::builder(Subscriber::new(config).unwrap(), handler)
        .group(format!("group-of-{topic}"))
        .topics([Arc::clone(topic)])
        .build()
        .unwrap();
    tokio::spawn(consumer.run(Token::never()))
}

async fn until_one_is_seen(seen: &Ids) {
    let one = async {
        while seen.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, one).await.expect("the good one comes");
}

async fn publish(config: &Config, topic: &Arc<str>) -> String {
    let message = Message::new("task.created", "{}").with_source("/tasks");
    let record = Record::from_message(Arc::clone(topic), &message).unwrap();
    let result = publisher(config).publish(vec![record]).await.remove(0);
    result.expect("appended");
    message.id().as_str().to_owned()
}

/// A record that seems to have no headers would be read as another mode, or as another event.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_is_dead_lettered_and_header_names_that_are_not_text_too() {
    let broker = spawn_blocking(shared::kafka).await.unwrap().unwrap();
    let config = config(broker);
    let topic = topic(&config, 1).await;
    let (address, name) = (broker.address().to_owned(), Arc::clone(&topic));
    let event: [(&[u8], &[u8]); 4] = [
        (b"ce_specversion", b"1.0"),
        (b"ce_id", b"7"),
        (b"ce_source", b"/tasks"),
        (b"ce_type", b"task.created"),
    ];
    spawn_blocking(move || {
        let unreadable = [&event[..], &[(b"caf\xe9", b"x")]].concat();
        produce(&address, &name, b"{}", &unreadable);
        let other: [(&[u8], &[u8]); 1] = [(b"x-other", b"y")];
        produce(&address, &name, b"\xff\x00garbage", &other);
        let structured: [(&[u8], &[u8]); 1] = [(b"content-type", b"application/cloudevents+json")];
        produce(
            &address,
            &name,
            br#"{"specversion": "1.0", "id": "#,
            &structured,
        );
        produce(&address, &name, b"{}", &event[..2]);
    })
    .await
    .unwrap();
    let good = publish(&config, &topic).await;

    let (letters, seen) = (Memory::new(), Ids::default());
    let running = consume(&config, &topic, &letters, &seen);
    until_one_is_seen(&seen).await;
    running.abort();
    assert_eq!(*seen.lock().unwrap(), [good]);
    let mut open = letters.query(&Filter::open()).await.unwrap();
    open.sort_by_key(|letter| letter.position.offset);
    let offsets: Vec<_> = open.iter().map(|letter| letter.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
    let headers = &open[0].record.headers;
    assert_eq!(headers.text(UNREADABLE_HEADERS), Some("1"));
    assert_eq!(headers.text("ce_id"), Some("7"), "the others are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_waits_for_a_broker_that_is_down_when_it_starts() {
    let broker = own_broker().await;
    let config = config(&broker);
    let topic = topic(&config, 1).await;
    steer(&broker, Kafka::kill).await;
    let (letters, seen) = (Memory::new(), Ids::default());
    let running = consume(&config, &topic, &letters, &seen);
    sleep(Duration::from_secs(2)).await;
    assert!(!running.is_finished(), "it waits");
    steer(&broker, Kafka::restart).await;
    let good = publish(&config, &topic).await;
    tokio::select! {
        ended = running => panic!("it gave up: {ended:?}"),
        () = until_one_is_seen(&seen) => {}
    }
    assert_eq!(*seen.lock().unwrap(), [good]);
}
