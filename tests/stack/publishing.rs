//! Layers before a publisher.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, State};
use bowline::broker::{
    Appended, Layered, Memory, PublishError, PublishOutcome, PublishService, Publisher, Record,
    SendStatus, Topics as _,
};
use bowline::bulkhead::Bulkhead;
use bowline::error::{Error, Kind, Rejected, rejected};
use bowline::message::Message;
use bowline::outbox::{self, Relay, Store as _};
use bowline::rate::{Rate, RateLimiter};
use bowline::retry::Retry;
use bowline::shutdown::Shutdown;
use bowline::timeout::Timeout;
use tokio::time::{Instant, sleep};
use tower::layer::layer_fn;
use tower::{Layer as _, ServiceExt as _, service_fn};

/// A broker that does as it is told, and notes what was asked of it.
#[derive(Debug, Clone)]
struct Moody {
    broker: Memory,
    mood: Arc<Mutex<Mood>>,
    batches: Arc<Mutex<Vec<Vec<String>>>>,
}

#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    /// Takes nothing, for so many more calls.
    Away(usize),
    /// Takes everything and never says so, for so many more calls.
    Lossy(usize),
    Slow(Duration),
}

impl Moody {
    async fn new(mood: Mood) -> Self {
        let broker = Memory::new();
        broker.create("tasks", NonZeroU32::MIN).await.unwrap();
        Self {
            broker,
            mood: Arc::new(Mutex::new(mood)),
            batches: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.batches.lock().unwrap().len()
    }

    fn mood(&self) -> Mood {
        let mut mood = self.mood.lock().unwrap();
        let now = *mood;
        *mood = match now {
            Mood::Away(0 | 1) | Mood::Lossy(0 | 1) => Mood::Well,
            Mood::Away(calls) => Mood::Away(calls - 1),
            Mood::Lossy(calls) => Mood::Lossy(calls - 1),
            Mood::Well | Mood::Slow(_) => now,
        };
        now
    }
}

impl Publisher for Moody {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        self.batches.lock().unwrap().push(payloads(&batch));
        let error = || Error::new(Kind::Unavailable, "moody", "publish");
        let all =
            |one: fn(Error) -> PublishError| batch.iter().map(|_| Err(one(error()))).collect();
        match self.mood() {
            Mood::Well => self.broker.publish(batch).await,
            Mood::Away(_) => all(PublishError::not_sent),
            Mood::Lossy(_) => {
                self.broker.publish(batch.clone()).await;
                all(PublishError::unknown)
            }
            Mood::Slow(time) => {
                sleep(time).await;
                self.broker.publish(batch).await
            }
        }
    }

    fn system(&self) -> &'static str {
        "moody"
    }
}

fn payloads(batch: &[Record]) -> Vec<String> {
    let payload =
        |record: &Record| String::from_utf8_lossy(record.payload.as_ref().unwrap()).into();
    batch.iter().map(payload).collect()
}

fn batch(numbers: std::ops::Range<u32>) -> Vec<Record> {
    let record = |number: u32| Record::new("tasks", number.to_string()).with_key("7");
    numbers.map(record).collect()
}

fn breaker() -> Breaker {
    let builder = Breaker::builder("broker").consecutive_failures(3);
    builder
        .open_for(Backoff::constant(Duration::from_secs(30)).jitter(Jitter::None))
        .build()
        .unwrap()
}

fn retry() -> Retry {
    Retry::builder().attempts(3).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_not_asked_while_the_breaker_is_open() {
    let moody = Moody::new(Mood::Away(3)).await;
    let breaker = breaker();
    let layer = breaker.layer().with_classifier(PublishOutcome::new());
    let publisher = Layered::new(moody.clone(), layer);
    for _ in 0..10 {
        let answers = publisher.publish(batch(0..2)).await;
        assert_eq!(answers.len(), 2);
        for answer in answers {
            assert_eq!(answer.unwrap_err().status(), SendStatus::NotSent);
        }
    }
    assert_eq!((moody.calls(), breaker.state()), (3, State::Open));
    let refused = publisher.publish(batch(0..1)).await.remove(0).unwrap_err();
    assert!(
        matches!(rejected(&refused), Some(Rejected::CircuitOpen { .. })),
        "{refused:?}"
    );

    sleep(Duration::from_secs(31)).await;
    assert!(
        publisher
            .publish(batch(0..2))
            .await
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(publisher.system(), "moody");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_no_good_opens_no_breaker() {
    let moody = Moody::new(Mood::Well).await;
    let breaker = breaker();
    let layer = breaker.layer().with_classifier(PublishOutcome::new());
    let publisher = Layered::new(moody.clone(), layer);
    for _ in 0..20 {
        let answers = publisher.publish(vec![Record::new("missing", "")]).await;
        let error = answers.into_iter().next().unwrap().unwrap_err();
        assert_eq!(error.error().kind(), Kind::NotFound);
    }
    assert_eq!((moody.calls(), breaker.state()), (20, State::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_tried_again_as_a_whole_and_in_order() {
    let moody = Moody::new(Mood::Away(2)).await;
    let layer = retry().layer().with_classifier(PublishOutcome::new());
    let publisher = Layered::new(moody.clone(), layer);
    let answers = publisher.publish(batch(0..3)).await;
    let offsets: Vec<_> = answers.into_iter().map(|one| one.unwrap().offset).collect();
    assert_eq!(offsets, [Some(0), Some(1), Some(2)]);
    assert_eq!(moody.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_sent_is_tried_again_only_when_told_so() {
    for (outcome, calls, appended) in [
        (PublishOutcome::new(), 1, 1),
        (PublishOutcome::new().with_unknown_retried(), 2, 2),
    ] {
        let moody = Moody::new(Mood::Lossy(1)).await;
        let layer = retry().layer().with_classifier(outcome);
        let publisher = Layered::new(moody.clone(), layer);
        let answer = publisher.publish(batch(0..1)).await.remove(0);
        assert_eq!((moody.calls(), answer.is_ok()), (calls, calls == 2));
        let next = moody.broker.publish(batch(1..2)).await.remove(0).unwrap();
        assert_eq!(next.offset, Some(appended), "how often it is there");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_ran_out_of_time_may_have_been_sent() {
    let moody = Moody::new(Mood::Slow(Duration::from_secs(60))).await;
    let timeout = Timeout::new(Duration::from_secs(5)).unwrap();
    let publisher = Layered::new(moody.clone(), timeout.layer());
    let start = Instant::now();
    let answers = publisher.publish(batch(0..2)).await;
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.status(), SendStatus::Unknown);
        assert_eq!(error.error().kind(), Kind::Timeout);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulkhead_bounds_how_many_batches_are_on_their_way() {
    let moody = Moody::new(Mood::Slow(Duration::from_secs(1))).await;
    let bulkhead = Bulkhead::builder("broker").limit(1).build().unwrap();
    let layer = bulkhead.layer().without_queue();
    let service = layer.layer(PublishService::new(moody.clone()));
    let first = tokio::spawn(service.clone().oneshot(batch(0..1)));
    sleep(Duration::from_millis(1)).await;
    let second = service.oneshot(batch(1..2)).await;
    assert_eq!(second.unwrap_err().status(), SendStatus::NotSent);
    assert!(first.await.unwrap().unwrap()[0].is_ok());
    assert_eq!(moody.calls(), 1);
}

/// A relay parks what the broker will never take. That a layer takes no batch of this size, or none now,
/// is no such thing.
#[tokio::test(start_paused = true)]
async fn a_refusal_by_a_layer_parks_nothing() {
    let limiter = RateLimiter::builder("broker");
    let limiter = limiter.rate(Rate::per_second(1)).burst(1).build().unwrap();
    let moody = Moody::new(Mood::Well).await;
    let layer = layer_fn(|inner: PublishService<Moody>| {
        let limiter = limiter.clone();
        service_fn(move |batch: Vec<Record>| {
            let permitted = limiter.try_acquire_many(batch.len().try_into().unwrap());
            let published = inner.clone().oneshot(batch);
            async move {
                permitted?;
                published.await
            }
        })
    });
    let publisher = Layered::new(moody, layer);
    for answer in publisher.publish(batch(0..5)).await {
        let error = answer.unwrap_err();
        let is_of_record = matches!(error.error().kind(), Kind::Invalid | Kind::TooLarge);
        assert!(!is_of_record, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_behind_a_breaker_loses_nothing_and_keeps_the_order_of_a_key() {
    let outbox = outbox::Memory::new().with_topic("tasks");
    let moody = Moody::new(Mood::Away(7)).await;
    let breaker = breaker();
    let layer = breaker.layer().with_classifier(PublishOutcome::new());
    let relay = Relay::builder(outbox.clone(), Layered::new(moody.clone(), layer));
    let shutdown = Shutdown::new();
    let relay = tokio::spawn(relay.build().unwrap().run(shutdown.token()));
    for number in 0..50 {
        let mut tx = outbox.begin();
        let message = Message::new("task.created", number.to_string()).with_key("7");
        outbox.enqueue(&mut tx, &message).unwrap();
        tx.commit();
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(1200)).await;
    shutdown.trigger();
    relay.await.unwrap().unwrap();
    let status = outbox.status().await.unwrap();
    assert_eq!((status.pending, status.parked), (0, 0));
    let end = moody.broker.publish(vec![Record::new("tasks", "")]).await;
    assert_eq!(
        end[0].as_ref().unwrap().offset,
        Some(50),
        "each is there once"
    );
    let batches = moody.batches.lock().unwrap().concat();
    let mut numbers: Vec<u32> = batches.iter().map(|one| one.parse().unwrap()).collect();
    numbers.drain(..numbers.len() - 50);
    assert_eq!(numbers, Vec::from_iter(0..50));
}
