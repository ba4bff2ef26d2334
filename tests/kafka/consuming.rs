use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::kafka::{Config, Subscriber};
use bowline::broker::{Delivery, Publisher as _};
use bowline::consumer::Consumer;
use bowline::shutdown::Token;
use bowline_test_services::shared;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::{config, number, numbered, publisher, topic};

const KEYS: u32 = 20;
/// So many records at most before both members have taken part, and so many more after one died.
const BEFORE: u32 = 12_000;
const AFTER: u32 = 250;

#[derive(Debug, Default)]
struct Handled(Mutex<Vec<(u8, u32)>>);

impl Handled {
    fn distinct(&self) -> usize {
        let handled = self.0.lock().unwrap();
        handled.iter().map(|(_, n)| n).collect::<HashSet<_>>().len()
    }

    fn by(&self, member: u8) -> usize {
        let handled = self.0.lock().unwrap();
        handled.iter().filter(|(by, _)| *by == member).count()
    }
}

fn member(
    name: u8,
    config: &Config,
    topic: &Arc<str>,
    handled: &Arc<Handled>,
) -> JoinHandle<Result<(), bowline::Error>> {
    let handled = Arc::clone(handled);
    let handler = service_fn(move |delivery: Delivery| {
        let handled = Arc::clone(&handled);
        async move {
            sleep(Duration::from_millis(5)).await;
            let number = number(delivery.record());
            handled.0.lock().unwrap().push((name, number));
            Ok::<_, Infallible>(())
        }
    });
    let consumer = Consumer::builder(Subscriber::new(config).unwrap(), handler)
        .group(format!("group-of-{topic}"))
        .topics([Arc::clone(topic)])
        .build()
        .unwrap();
    tokio::spawn(consumer.run(Token::never()))
}

/// One of two members dies in the middle: the other one handles what is left, and a key keeps its
/// order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_is_replaced() {
    let broker = spawn_blocking(shared::kafka).await.unwrap().unwrap();
    let config = config(broker);
    let topic = topic(&config, 6).await;
    let handled = Arc::new(Handled::default());
    let first = member(1, &config, &topic, &handled);
    let second = member(2, &config, &topic, &handled);
    let publisher = publisher(&config);
    let (mut published, mut end) = (0, BEFORE);
    while published < end {
        let batch = (published..published + 50)
            .map(|n| numbered(&topic, n, KEYS))
            .collect();
        for result in publisher.publish(batch).await {
            result.expect("the broker is up");
        }
        published += 50;
        // A busy machine may take long until both have joined.
        if end == BEFORE && handled.by(1) >= 50 && handled.by(2) >= 50 {
            first.abort();
            end = published + AFTER;
        }
        sleep(Duration::from_millis(250)).await;
    }
    assert_ne!(
        end,
        BEFORE,
        "both took part: {} and {}",
        handled.by(1),
        handled.by(2)
    );
    let all = async {
        while handled.distinct() < published as usize {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = timeout(Duration::from_secs(60), all).await;
    waited.unwrap_or_else(|_| panic!("{} were handled", handled.distinct()));
    second.abort();

    let mut seen = HashSet::new();
    let mut keys: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (_, number) in handled.0.lock().unwrap().iter() {
        if seen.insert(*number) {
            keys.entry(number % KEYS).or_default().push(*number);
        }
    }
    for numbers in keys.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}
