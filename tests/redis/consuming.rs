use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Delivery, Publisher as _, Redis};
use bowline::consumer::Consumer;
use bowline::shutdown::{Shutdown, Token};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::{PATIENCE, Server, broker_on, number, numbered, own_server, steer};

const KEYS: u32 = 20;
const COUNT: u32 = 2_000;

#[derive(Debug, Default)]
struct Handled(Mutex<Vec<u32>>);

impl Handled {
    fn distinct(&self) -> usize {
        let handled = self.0.lock().unwrap();
        handled.iter().collect::<HashSet<_>>().len()
    }

    /// Waits until `count` were handled.
    async fn reach(&self, count: usize) {
        let reached = async {
            while self.distinct() < count {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = timeout(PATIENCE, reached).await;
        waited.unwrap_or_else(|_| panic!("{} were handled", self.distinct()));
    }
}

fn member(
    broker: &Redis,
    handled: &Arc<Handled>,
    token: Token,
) -> JoinHandle<Result<(), bowline::Error>> {
    let handled = Arc::clone(handled);
    let handler = service_fn(move |delivery: Delivery| {
        let handled = Arc::clone(&handled);
        async move {
            sleep(Duration::from_millis(2)).await;
            handled.0.lock().unwrap().push(number(delivery.record()));
            Ok::<_, Infallible>(())
        }
    });
    let consumer = Consumer::builder(broker.subscriber(), handler)
        .group("g")
        .topics(["t"])
        .build()
        .unwrap();
    tokio::spawn(consumer.run(token))
}

/// Members die and the server is killed: everything is handled, a key keeps its order, and what was
/// handled and committed by a member that was stopped does not come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_lose_nothing_when_they_or_the_server_die() {
    let server = own_server().await;
    let broker = broker_on(&server, 6).await;
    let broker = broker.with_session_timeout(Duration::from_secs(2));
    let batch = (0..COUNT).map(|n| numbered(n).with_key((n % KEYS).to_string()));
    for result in broker.publish(batch.collect()).await {
        result.expect("acceptable");
    }
    let handled = Arc::new(Handled::default());
    let first = member(&broker, &handled, Token::never());
    let shutdown = Shutdown::new();
    let second = member(&broker, &handled, shutdown.token());
    handled.reach(200).await;
    first.abort();
    handled.reach(500).await;
    steer(&server, Server::kill).await;
    sleep(Duration::from_millis(300)).await;
    steer(&server, Server::restart).await;
    handled.reach(COUNT as usize).await;
    shutdown.trigger();
    let stopped = timeout(PATIENCE, second).await.expect("it stops");
    stopped.expect("no panic").expect("committed");

    let mut seen = HashSet::new();
    let mut keys: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for number in handled.0.lock().unwrap().iter() {
        if seen.insert(*number) {
            keys.entry(number % KEYS).or_default().push(*number);
        }
    }
    for numbers in keys.values() {
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
    let again = Arc::new(Handled::default());
    let third = member(&broker, &again, Token::never());
    broker
        .publish(vec![numbered(COUNT)])
        .await
        .remove(0)
        .unwrap();
    again.reach(1).await;
    assert_eq!(*again.0.lock().unwrap(), [COUNT], "all else was committed");
    third.abort();
}
