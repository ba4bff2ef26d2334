//! Topics for which the broker fails for a while.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Appended, Memory, PublishError, Publisher, Record, Topics as _};
use bowline::error::{Error, Kind};
use bowline::outbox::{self, Relay, Routing, Store as _};
use bowline::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::topics::{enqueue, first_word, numbers};

const WINDOW: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// A broker that takes nothing for some topics.
#[derive(Debug, Clone)]
struct Broker {
    inner: Memory,
    ill: Arc<Mutex<HashSet<&'static str>>>,
    calls: Arc<Mutex<u32>>,
}

impl Broker {
    async fn new(ill: &[&'static str]) -> Self {
        let inner = Memory::new();
        for topic in ["here", "ill"] {
            inner.create(topic, NonZeroU32::MIN).await.unwrap();
        }
        let ill = Arc::new(Mutex::new(ill.iter().copied().collect()));
        let calls = Arc::default();
        Self { inner, ill, calls }
    }

    fn is_well(&self) {
        self.ill.lock().unwrap().clear();
    }
}

impl Publisher for Broker {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        *self.calls.lock().unwrap() += 1;
        let mut results = Vec::new();
        for record in batch {
            let is_ill = self.ill.lock().unwrap().contains(&*record.topic);
            if is_ill {
                let error = Error::new(Kind::Unavailable, "test", "publish");
                results.push(Err(PublishError::not_sent(error)));
            } else {
                results.extend(self.inner.publish(vec![record]).await);
            }
        }
        results
    }

    fn system(&self) -> &'static str {
        "test"
    }
}

fn start(outbox: &outbox::Memory, broker: &Broker) -> (Shutdown, JoinHandle<Result<(), Error>>) {
    let relay = Relay::builder(outbox.clone(), broker.clone()).window(WINDOW);
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    (shutdown, relay)
}

fn outbox() -> outbox::Memory {
    outbox::Memory::new().with_routing(Routing::by(first_word))
}

/// However much waits for a topic that fails, other topics behind it go on, and it does once it is well.
#[tokio::test(start_paused = true)]
async fn a_topic_that_fails_holds_nobody_else_up() {
    let (outbox, broker) = (outbox(), Broker::new(&["ill"]).await);
    let (shutdown, relay) = start(&outbox, &broker);
    enqueue(&outbox, "here.event", 0);
    for round in 0..3 {
        for number in 0..20 {
            enqueue(&outbox, "ill.event", round * 20 + number);
        }
        enqueue(&outbox, "here.event", round + 1);
        let here = usize::try_from(round).unwrap() + 2;
        assert_eq!(numbers(&broker.inner, "here", here).await.len(), here);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(outbox.status().await.unwrap().pending, 60);
    broker.is_well();
    assert_eq!(
        numbers(&broker.inner, "ill", 60).await,
        Vec::from_iter(0..60)
    );
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// While the broker takes nothing at all, its windows wait where they are, and it is asked ever less
/// often.
#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out() {
    let (outbox, broker) = (outbox(), Broker::new(&["here"]).await);
    let (shutdown, relay) = start(&outbox, &broker);
    for number in 0..20 {
        enqueue(&outbox, "here.event", number);
    }
    sleep(Duration::from_secs(600)).await;
    let calls = *broker.calls.lock().unwrap();
    assert!(
        (120..1_000).contains(&calls),
        "{calls} calls in ten minutes"
    );
    broker.is_well();
    assert_eq!(
        numbers(&broker.inner, "here", 20).await,
        Vec::from_iter(0..20)
    );
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}

/// A relay that is stopped while it waits leaves what the broker has taken settled, and the rest for the
/// next one.
#[tokio::test(start_paused = true)]
async fn a_stop_in_an_outage_doubles_nothing() {
    let (outbox, broker) = (outbox(), Broker::new(&["ill"]).await);
    for number in 0..2 {
        enqueue(&outbox, "here.event", number);
        enqueue(&outbox, "ill.event", number);
    }
    let (shutdown, relay) = start(&outbox, &broker);
    assert_eq!(numbers(&broker.inner, "here", 2).await, [0, 1]);
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    broker.is_well();
    enqueue(&outbox, "ill.event", 2);
    let (shutdown, relay) = start(&outbox, &broker);
    assert_eq!(numbers(&broker.inner, "ill", 3).await, [0, 1, 2]);
    sleep(Duration::from_secs(60)).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    assert_eq!(numbers(&broker.inner, "here", 2).await, [0, 1]);
    enqueue(&outbox, "here.event", 7);
    let (shutdown, relay) = start(&outbox, &broker);
    assert_eq!(
        numbers(&broker.inner, "here", 3).await,
        [0, 1, 7],
        "no copies"
    );
    shutdown.trigger();
    relay.await.unwrap().unwrap();
}
