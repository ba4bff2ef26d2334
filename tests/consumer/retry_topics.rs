//! What failed waits in topics of its own, and comes back in time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Delivery, Memory, Publisher as _, RETRY_ORIGIN, Record, Topics as _};
use bowline::consumer::{Consumer, RetryTopics};
use bowline::dlq::{self, DeadLetterLayer, Filter, Redrive, Store as _};
use bowline::error::{BoxError, Error, Kind};
use bowline::shutdown::Shutdown;
use tokio::time::{Instant, sleep};
use tower::{ServiceBuilder, service_fn};

use crate::script::{GROUP, TOPIC};

/// Payload and time since the start of every attempt.
type Attempts = Arc<Mutex<Vec<(String, Duration)>>>;

/// Runs a consumer of records that fail as `fails` says, given payload and how often it was tried.
async fn run<F>(fails: F, payloads: &[&str]) -> (Memory, dlq::Memory, Attempts)
where
    F: Fn(&str, usize) -> Result<(), BoxError> + Clone + Send + 'static,
{
    let (broker, letters) = (Memory::new(), dlq::Memory::new());
    let retries = RetryTopics::new(GROUP, [10, 60].map(Duration::from_secs)).unwrap();
    broker.create(TOPIC, NonZeroU32::MIN).await.unwrap();
    retries
        .create(&broker, TOPIC, NonZeroU32::MIN)
        .await
        .unwrap();
    let records = payloads
        .iter()
        .map(|payload| Record::new(TOPIC, (*payload).to_owned()).with_key("one key"));
    for result in broker.publish(records.collect()).await {
        result.unwrap();
    }
    let (attempts, start) = (Attempts::default(), Instant::now());
    let noting = Arc::clone(&attempts);
    let handler = service_fn(move |delivery: Delivery| {
        let payload = delivery.record().payload.clone().unwrap();
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        let mut attempts = noting.lock().unwrap();
        let before = attempts.iter().filter(|(one, _)| *one == payload).count();
        attempts.push((payload.clone(), start.elapsed()));
        let result = fails(&payload, before);
        async move { result }
    });
    let handler = ServiceBuilder::new()
        .layer(DeadLetterLayer::new(letters.clone()))
        .layer(retries.layer(broker.clone()))
        .service(handler);
    let mut topics = retries.names(TOPIC);
    topics.push(TOPIC.into());
    let consumer = Consumer::builder(broker.subscriber(), handler)
        .group(GROUP)
        .topics(topics)
        .build()
        .unwrap();
    tokio::spawn(consumer.run(Shutdown::new().token()));
    sleep(Duration::from_secs(300)).await;
    (broker, letters, attempts)
}

fn later() -> BoxError {
    Error::new(Kind::Unavailable, "test", "handle").into()
}

#[tokio::test(start_paused = true)]
async fn a_record_waits_elsewhere_while_later_ones_of_its_key_go_on() {
    let fails = |payload: &str, before| match (payload, before) {
        ("a", 0 | 1) => Err(later()),
        _ => Ok(()),
    };
    let (_, letters, attempts) = run(fails, &["a", "b", "c"]).await;
    let attempts = attempts.lock().unwrap().clone();
    let order: Vec<_> = attempts.iter().map(|(payload, _)| &**payload).collect();
    assert_eq!(order, ["a", "b", "c", "a", "a"]);
    let (second, third) = (attempts[3].1, attempts[4].1);
    // A due time is one of the wall, which goes on while the test's clock stands still.
    let slack = Duration::from_secs(5);
    let least = |at: Duration, delay| at + slack >= Duration::from_secs(delay);
    assert!(
        least(second, 10) && second < Duration::from_secs(11),
        "{second:?}"
    );
    assert!(
        least(third - second, 60) && third - second < Duration::from_secs(61),
        "{third:?}"
    );
    assert!(letters.query(&Filter::open()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_the_last_topic_it_is_a_letter_of_its_first_place() {
    let (broker, letters, attempts) = run(|_, _| Err("down".into()), &["a"]).await;
    assert_eq!(attempts.lock().unwrap().len(), 3);
    let open = letters.query(&Filter::open()).await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].position.to_string(), "tasks/0@0");
    assert_eq!(&*open[0].record.topic, TOPIC);
    assert!(open[0].record.headers.last(RETRY_ORIGIN).is_none());

    // Redriven it begins anew, and is the same letter when it ends the same.
    let redrive = Redrive::new(letters.clone(), broker);
    redrive.one(open[0].id).await.unwrap();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(attempts.lock().unwrap().len(), 6);
    let open = letters.query(&Filter::open()).await.unwrap();
    assert_eq!((open.len(), open[0].failures), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_will_never_work_is_not_tried_again() {
    let fails = |_: &str, _| Err(Error::new(Kind::Invalid, "test", "handle").into());
    let (_, letters, attempts) = run(fails, &["a"]).await;
    assert_eq!(attempts.lock().unwrap().len(), 1);
    assert_eq!(letters.query(&Filter::open()).await.unwrap().len(), 1);
}

#[test]
fn all_problems_are_named_at_once() {
    let delays = [
        Duration::ZERO,
        RetryTopics::MAX_DELAY + Duration::from_secs(1),
    ];
    let error = RetryTopics::new("", delays).unwrap_err();
    assert_eq!(error.problems().len(), 3, "{error}");
    assert!(RetryTopics::new("g", []).is_err());
}
