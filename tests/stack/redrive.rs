//! Letters on their way back to their topic.

use std::num::{NonZeroU32, NonZeroUsize};

use bowline::broker::{
    Appended, Delivery, Memory, MemorySubscriber, Polled, PublishError, Publisher, REDRIVE_COUNT,
    REDRIVE_GROUP, REDRIVE_ORIGIN, Received, Record, Start, Subscriber, Topics,
};
use bowline::dlq::{self, DeadLetterLayer, Filter, LetterId, Redrive, State, Store as _};
use bowline::error::{BoxError, Error, Kind};
use tower::{Layer, ServiceExt, service_fn};

use crate::{delivery, record};

const GROUP: &str = "mail";

async fn broker() -> Memory {
    let broker = Memory::new();
    let partitions = NonZeroU32::new(3).unwrap();
    broker.create("tasks", partitions).await.unwrap();
    broker
}

async fn subscriber(broker: &Memory) -> MemorySubscriber {
    let mut subscriber = broker.subscriber();
    let topics = ["tasks".into()];
    let subscribed = subscriber.subscribe(GROUP, &topics, Start::Earliest).await;
    subscribed.unwrap();
    subscriber
}

async fn next(subscriber: &mut MemorySubscriber) -> Received {
    loop {
        if let Polled::Records(mut records) = subscriber.poll(NonZeroUsize::MIN).await.unwrap() {
            assert_eq!(records.len(), 1);
            return records.remove(0);
        }
    }
}

async fn handle(letters: &dlq::Memory, received: &Received, result: Result<(), &'static str>) {
    let handler = service_fn(move |_: Delivery| async move { result.map_err(BoxError::from) });
    let service = DeadLetterLayer::new(letters.clone()).layer(handler);
    let delivery = Delivery::new(GROUP, received.clone());
    service.oneshot(delivery).await.unwrap();
}

async fn dead_letter(letters: &dlq::Memory) -> LetterId {
    let fails = service_fn(|_: Delivery| async { Err::<(), BoxError>("no".into()) });
    let service = DeadLetterLayer::new(letters.clone()).layer(fails);
    service.oneshot(delivery(record(), 0)).await.unwrap();
    letters.query(&Filter::open()).await.unwrap()[0].id
}

async fn state(letters: &dlq::Memory, id: LetterId) -> State {
    letters.get(id).await.unwrap().unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_the_record_with_three_headers_more() {
    let broker = broker().await;
    let mut subscriber = subscriber(&broker).await;
    let original = Record::new("tasks", b"\x00\xffpayload".to_vec())
        .with_key(b"\xfekey".to_vec())
        .with_header("twice", "1")
        .with_header("twice", b"\xff".to_vec());
    for sent in broker.publish(vec![original.clone(), original]).await {
        sent.unwrap();
    }
    let _first = next(&mut subscriber).await;
    let received = next(&mut subscriber).await;
    assert_eq!(received.position.offset, 1);

    let letters = dlq::Memory::new();
    handle(&letters, &received, Err("no")).await;
    let letter = letters.query(&Filter::open()).await.unwrap().remove(0);
    let redrive = Redrive::new(letters.clone(), broker.clone());
    let appended = redrive.one(letter.id).await.unwrap();
    assert_eq!(state(&letters, letter.id).await, State::Redriven);

    let copy = next(&mut subscriber).await;
    assert_eq!(Some(&copy.position), appended.position().as_ref());
    assert_eq!(copy.position.partition, received.position.partition);
    assert_eq!(copy.record.key, received.record.key);
    assert_eq!(copy.record.payload, received.record.payload);
    let mut expected = received.record.headers.clone();
    let origin = format!("{}@1", received.position.partition.partition);
    expected.set(REDRIVE_GROUP, GROUP);
    expected.set(REDRIVE_COUNT, "1");
    expected.set(REDRIVE_ORIGIN, origin);
    assert_eq!(copy.record.headers, expected);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_fails_is_the_same_letter_until_it_is_parked() {
    let broker = broker().await;
    let mut subscriber = subscriber(&broker).await;
    let record = record().with_key("7");
    broker.publish(vec![record]).await.remove(0).unwrap();
    let letters = dlq::Memory::new();
    let received = next(&mut subscriber).await;
    handle(&letters, &received, Err("no")).await;
    let id = letters.query(&Filter::open()).await.unwrap()[0].id;

    let redrive = Redrive::new(letters.clone(), broker).with_max_redrives(2);
    for redrives in 1..=2 {
        redrive.one(id).await.unwrap();
        let copy = next(&mut subscriber).await;
        let count = redrives.to_string();
        assert_eq!(copy.record.headers.text(REDRIVE_COUNT), Some(&*count));
        handle(&letters, &copy, Err("still not")).await;
        let letter = letters.get(id).await.unwrap().unwrap();
        assert_eq!((letter.failures, letter.redrives), (redrives + 1, redrives));
        assert_eq!(
            (letter.state, letter.position),
            (State::Open, received.position.clone())
        );
        assert_eq!(&*letter.reason.message, "still not");
    }
    assert_eq!(letters.count(&Filter::all()).await.unwrap(), 1);

    let parked = redrive.one(id).await.unwrap_err();
    assert_eq!(parked.kind(), Kind::Conflict, "{parked}");
    assert!(parked.to_string().contains("parked"), "{parked}");
    assert_eq!(state(&letters, id).await, State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_was_not_sent_is_open_at_once() {
    let letters = dlq::Memory::new();
    let id = dead_letter(&letters).await;
    let redrive = Redrive::new(letters.clone(), Memory::new());
    let failed = redrive.one(id).await.unwrap_err();
    assert_eq!(failed.kind(), Kind::NotFound, "{failed}");
    let letter = letters.get(id).await.unwrap().unwrap();
    assert_eq!((letter.state, letter.redrives), (State::Open, 0));
}

/// A publisher whose answers are lost.
#[derive(Debug)]
struct Silent;

impl Publisher for Silent {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let lost = || PublishError::unknown(Error::new(Kind::Timeout, "silent", "publish"));
        batch.iter().map(|_| Err(lost())).collect()
    }

    fn system(&self) -> &'static str {
        "silent"
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_may_have_been_sent_is_open_when_the_lease_ends() {
    let letters = dlq::Memory::new();
    let id = dead_letter(&letters).await;
    let redrive = Redrive::new(letters.clone(), Silent);
    let failed = redrive.one(id).await.unwrap_err();
    assert_eq!(failed.kind(), Kind::Timeout, "{failed}");
    assert_eq!(state(&letters, id).await, State::Redriving);
    let held = redrive.one(id).await.unwrap_err();
    assert_eq!(held.kind(), Kind::Conflict, "{held}");
    tokio::time::advance(Redrive::<dlq::Memory, Silent>::LEASE).await;
    assert_eq!(state(&letters, id).await, State::Open);
}
