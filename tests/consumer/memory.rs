//! The consumer on the in-memory broker: what a service sees.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::Error;
use bowline::broker::{Delivery, Memory, MemorySubscriber, Publisher, Record, Topics};
use bowline::consumer::{Consumer, Status};
use bowline::error::BoxError;
use bowline::message::Message;
use bowline::shutdown::Shutdown;
use tokio::task::JoinHandle;
use tokio::time;
use tower::Service;

const PARTITIONS: u32 = 6;

/// Key and value of every record handled, in order.
type Handled = Arc<Mutex<Vec<(String, u32)>>>;

#[tokio::test(start_paused = true)]
async fn every_record_is_handled_in_the_order_of_its_key_while_members_come_and_go() {
    let broker = broker().await;
    let handled = Handled::default();
    let attempts = Arc::new(AtomicUsize::new(0));
    let handler = || {
        let (handled, attempts) = (Arc::clone(&handled), Arc::clone(&attempts));
        tower::service_fn(move |delivery: Delivery| {
            let handled = Arc::clone(&handled);
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            async move {
                time::sleep(Duration::from_millis(7 + delivery.position().offset % 5)).await;
                if attempt % 4 == 0 {
                    return Err(BoxError::from("now and then"));
                }
                handled.lock().unwrap().push(entry(&delivery));
                Ok(())
            }
        })
    };
    let first = run(broker.subscriber(), handler());
    publish(&broker, 0..50).await;
    time::sleep(Duration::from_millis(40)).await;
    let second = run(broker.subscriber(), handler());
    publish(&broker, 50..100).await;
    time::sleep(Duration::from_millis(200)).await;
    let third = run(broker.subscriber(), handler());
    time::sleep(Duration::from_millis(200)).await;
    // One ends well, one is killed: the third finishes what they leave.
    first.shutdown.trigger();
    first.ended.await.unwrap().unwrap();
    second.ended.abort();
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(third.status.snapshot().partitions.len(), 6);

    let mut last: HashMap<String, u32> = HashMap::new();
    for (key, value) in handled.lock().unwrap().iter() {
        // Repeats are allowed after a kill, a gap is not.
        let last = last.entry(key.clone()).or_insert(0);
        assert!(*value <= *last + 1, "{key}: {value} after {last}");
        *last = (*last).max(*value);
    }
    assert_eq!(last.len(), 10);
    assert!(last.values().all(|last| *last == 10), "{last:?}");
}

/// Which of two things that are ready goes first is left to chance, so it is tried many times.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_stopped_while_it_joins_ends_well() {
    let broker = broker().await;
    for _ in 0..50 {
        let member = run(broker.subscriber(), collect(&Handled::default()));
        member.shutdown.trigger();
        member.ended.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_consumer_leaves_nothing_to_repeat() {
    let broker = broker().await;
    publish(&broker, 0..30).await;
    let handled = Handled::default();
    let first = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_millis(5)).await;
    first.shutdown.trigger();
    first.ended.await.unwrap().unwrap();
    let second = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_secs(1)).await;
    second.shutdown.trigger();
    second.ended.await.unwrap().unwrap();
    let mut handled = handled.lock().unwrap().clone();
    handled.sort_unstable();
    let before = handled.len();
    handled.dedup();
    assert_eq!((before, handled.len()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_committed_before_a_crash_comes_again() {
    let broker = broker().await;
    publish(&broker, 0..10).await;
    let handled = Handled::default();
    let first = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_millis(50)).await;
    assert_eq!(first.status.snapshot().done, 10);
    assert_eq!(first.status.snapshot().since_commit, None);
    first.ended.abort();
    let _second = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(handled.lock().unwrap().len(), 20);

    let _third = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!(handled.lock().unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_handler_slower_than_the_session_keeps_its_partitions() {
    let broker = broker().await;
    publish(&broker, 0..10).await;
    let handled = Handled::default();
    let inner = Arc::clone(&handled);
    let slow = tower::service_fn(move |delivery: Delivery| {
        let handled = Arc::clone(&inner);
        async move {
            time::sleep(Memory::DEFAULT_SESSION_TIMEOUT * 3).await;
            handled.lock().unwrap().push(entry(&delivery));
            Ok::<_, BoxError>(())
        }
    });
    let first = run(broker.subscriber(), slow);
    let _second = run(broker.subscriber(), collect(&handled));
    time::sleep(Duration::from_secs(600)).await;
    assert_eq!(first.status.snapshot().partitions.len(), 3);
    let mut handled = handled.lock().unwrap().clone();
    handled.sort_unstable();
    handled.dedup();
    assert_eq!(handled.len(), 10);
}

struct Member {
    status: Status,
    shutdown: Shutdown,
    ended: JoinHandle<Result<(), Error>>,
}

fn run<H>(subscriber: MemorySubscriber, handler: H) -> Member
where
    H: Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    let shutdown = Shutdown::new();
    let consumer = Consumer::builder(subscriber, handler)
        .group("notifications")
        .topics(["tasks"])
        .with_queue(NonZeroUsize::new(3).unwrap())
        .build()
        .unwrap();
    Member {
        status: consumer.status(),
        ended: tokio::spawn(consumer.run(shutdown.token())),
        shutdown,
    }
}

async fn broker() -> Memory {
    let broker = Memory::new();
    let partitions = NonZeroU32::new(PARTITIONS).unwrap();
    broker.create("tasks", partitions).await.unwrap();
    broker
}

/// Records with ten keys, each key counting from 1.
async fn publish(broker: &Memory, numbers: std::ops::Range<u32>) {
    let records = numbers.map(|number| {
        let value = (number / 10 + 1).to_string();
        let message = Message::new("task.created", value).with_key(format!("key-{}", number % 10));
        Record::from_message("tasks", &message).unwrap()
    });
    for result in broker.publish(records.collect()).await {
        result.unwrap();
    }
}

fn collect(
    handled: &Handled,
) -> impl Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
{
    let handled = Arc::clone(handled);
    tower::service_fn(move |delivery: Delivery| {
        handled.lock().unwrap().push(entry(&delivery));
        std::future::ready(Ok(()))
    })
}

fn entry(delivery: &Delivery) -> (String, u32) {
    let message = delivery.try_message().unwrap();
    let key = String::from_utf8(message.key().unwrap().as_bytes().to_vec()).unwrap();
    let value = std::str::from_utf8(message.payload()).unwrap();
    (key, value.parse().unwrap())
}
