//! Topics that the broker does not have.

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bowline::broker::{self, Polled, Start, Subscriber as _, Topics as _};
use bowline::message::Message;
use bowline::outbox::{Memory, Relay, Routing, Store as _};
use bowline::shutdown::Shutdown;
use tokio::time::{sleep, timeout};

const WINDOW: NonZeroUsize = NonZeroUsize::new(4).unwrap();

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_missing_topic_holds_nobody_else_up() {
    let routing = Routing::by(first_word);
    let outbox = Memory::new().with_routing(routing);
    let broker = broker::Memory::new();
    broker.create("here", NonZeroU32::MIN).await.unwrap();
    let shutdown = Shutdown::new();
    let relay = Relay::builder(outbox.clone(), broker.clone()).window(WINDOW);
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));

    for number in 0..20 {
        enqueue(&outbox, "missing.event", number);
    }
    for number in 0..20 {
        enqueue(&outbox, "here.event", number);
    }
    assert_eq!(numbers(&broker, "here", 20).await, Vec::from_iter(0..20));
    assert_eq!(outbox.status().await.unwrap().pending, 20);

    // Later ones pass too, while the topic is looked for again and again.
    sleep(Duration::from_secs(60)).await;
    enqueue(&outbox, "here.event", 20);
    assert_eq!(numbers(&broker, "here", 21).await.len(), 21);

    broker.create("missing", NonZeroU32::MIN).await.unwrap();
    assert_eq!(numbers(&broker, "missing", 20).await, Vec::from_iter(0..20));
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    assert_eq!(outbox.status().await.unwrap().pending, 0);
}

pub(crate) fn first_word(message: &Message) -> Option<Arc<str>> {
    message.kind().split('.').next().map(Arc::from)
}

pub(crate) fn enqueue(outbox: &Memory, kind: &'static str, number: u32) {
    let mut tx = outbox.begin();
    let message = Message::new(kind, number.to_string()).with_key((number % 3).to_string());
    outbox.enqueue(&mut tx, &message).unwrap();
    tx.commit();
}

/// The first `count` numbers in `topic`, sorted: only those of one key have an order.
pub(crate) async fn numbers(broker: &broker::Memory, topic: &str, count: usize) -> Vec<u32> {
    let mut subscriber = broker.subscriber();
    let topics = [Arc::from(topic)];
    let group = format!("{topic}-{count}");
    let subscribed = subscriber.subscribe(&group, &topics, Start::Earliest);
    subscribed.await.unwrap();
    let mut numbers: Vec<u32> = Vec::new();
    let reading = async {
        while numbers.len() < count {
            let many = NonZeroUsize::new(100).unwrap();
            if let Polled::Records(records) = subscriber.poll(many).await.unwrap() {
                numbers.extend(records.into_iter().map(|received| {
                    let payload = received.record.payload.unwrap();
                    std::str::from_utf8(&payload)
                        .unwrap()
                        .parse::<u32>()
                        .unwrap()
                }));
            }
        }
    };
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("published");
    for key in 0..3 {
        let of_key: Vec<_> = numbers.iter().filter(|number| *number % 3 == key).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    numbers.sort_unstable();
    numbers
}
