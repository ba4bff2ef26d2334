//! The layers around a consumer's handler.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

#[cfg(feature = "sqlite")]
mod inbox;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::broker::{self, Delivery, Position, Received, Record, TopicPartition, Topics};
use bowline::dlq::{self, DeadLetterLayer, Filter, Redrive, State, Store as _};
use bowline::error::{BoxError, is_caused_by};
use bowline::idempotency::{self, Busy, Config, IdempotencyLayer};
use bowline::message::Message;
use tower::{Layer, Service, ServiceExt, service_fn};

const LEASE: Duration = Duration::from_secs(3);

fn delivery(record: Record, offset: u64) -> Delivery {
    let position = Position::new(TopicPartition::new("tasks", 0), offset);
    Delivery::new("mail", Received::new(record, position, 1))
}

fn record() -> Record {
    Record::from_message("tasks", &Message::new("task.done", "{}"))
}

/// A handler that fails until call number `good`, counting calls.
fn failing_until(
    good: u32,
    calls: Arc<AtomicU32>,
) -> impl Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
{
    service_fn(move |_: Delivery| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if call < good {
                Err("not yet".into())
            } else {
                Ok(())
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_message_is_handled_once_even_when_the_first_attempt_fails() {
    let calls = Arc::new(AtomicU32::new(0));
    let mut service = IdempotencyLayer::new(idempotency::Memory::new())
        .layer(failing_until(2, Arc::clone(&calls)));
    let record = record();
    service
        .ready()
        .await
        .unwrap()
        .call(delivery(record.clone(), 0))
        .await
        .unwrap_err();
    for offset in 0..3 {
        service
            .ready()
            .await
            .unwrap()
            .call(delivery(record.clone(), offset))
            .await
            .unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_handler_longer_than_its_lease_keeps_the_claim() {
    let mut config = Config::default();
    config.lease = LEASE;
    let slow = service_fn(|_: Delivery| async {
        tokio::time::sleep(3 * LEASE).await;
        Ok::<_, BoxError>(())
    });
    let service = IdempotencyLayer::new(idempotency::Memory::new())
        .with_config(config)
        .unwrap()
        .layer(slow);
    let record = record();
    let first = tokio::spawn(service.clone().oneshot(delivery(record.clone(), 0)));
    tokio::time::sleep(2 * LEASE).await;
    let busy = service
        .clone()
        .oneshot(delivery(record.clone(), 0))
        .await
        .unwrap_err();
    assert!(is_caused_by::<Busy>(&*busy), "{busy}");
    first.await.unwrap().unwrap();
    service.oneshot(delivery(record, 0)).await.unwrap();
}

#[tokio::test]
async fn errors_and_panics_become_letters_and_busy_passes() {
    let letters = dlq::Memory::new();
    let layer = DeadLetterLayer::new(letters.clone());
    let panics = service_fn(|delivery: Delivery| async move {
        assert!(delivery.group().is_empty(), "the handler is broken");
        Ok::<_, BoxError>(())
    });
    layer
        .layer(panics)
        .oneshot(delivery(record(), 0))
        .await
        .unwrap();
    let fails = service_fn(|_: Delivery| async { Err::<(), BoxError>("no".into()) });
    layer
        .layer(fails)
        .oneshot(delivery(record(), 1))
        .await
        .unwrap();
    let found = letters.query(&Filter::open()).await.unwrap();
    let mut kinds: Vec<&str> = found.iter().map(|letter| &*letter.reason.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["error", "panic"]);

    let store = idempotency::Memory::new();
    let hangs = service_fn(|_: Delivery| std::future::pending::<Result<(), BoxError>>());
    let service = layer.layer(IdempotencyLayer::new(store).layer(hangs));
    let record = record();
    let first = tokio::spawn(service.clone().oneshot(delivery(record.clone(), 2)));
    tokio::task::yield_now().await;
    service.oneshot(delivery(record, 2)).await.unwrap_err();
    first.abort();
    assert_eq!(letters.count(&Filter::all()).await.unwrap(), 2);
}

#[tokio::test]
async fn a_redriven_copy_that_fails_is_the_same_letter_until_it_is_parked() {
    let broker = broker::Memory::new();
    broker
        .create("tasks", std::num::NonZeroU32::MIN)
        .await
        .unwrap();
    let letters = dlq::Memory::new();
    let fails = service_fn(|_: Delivery| async { Err::<(), BoxError>("no".into()) });
    let service = DeadLetterLayer::new(letters.clone()).layer(fails);
    service
        .clone()
        .oneshot(delivery(record(), 0))
        .await
        .unwrap();
    let id = letters.query(&Filter::open()).await.unwrap()[0].id;
    let redrive = Redrive::new(letters.clone(), broker).with_max_redrives(1);
    let position = redrive.one(id).await.unwrap();
    assert_eq!(
        letters.get(id).await.unwrap().unwrap().state,
        State::Redriven
    );
    let copy = record()
        .with_header(broker::REDRIVE_GROUP, "mail")
        .with_header(broker::REDRIVE_ORIGIN, "0@0");
    service
        .oneshot(delivery(copy, position.offset + 9))
        .await
        .unwrap();
    let letter = letters.get(id).await.unwrap().unwrap();
    assert_eq!(
        (letter.failures, letter.redrives, letter.state),
        (2, 1, State::Open)
    );
    let parked = redrive.one(id).await.unwrap_err();
    assert!(parked.to_string().contains("parked"), "{parked}");
    assert_eq!(letters.get(id).await.unwrap().unwrap().state, State::Open);
}
