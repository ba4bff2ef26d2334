//! The layers around a consumer's handler.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test reports by panicking"
)]

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod inbox;
mod publishing;
mod redrive;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::broker::{Delivery, Position, Received, Record, TopicPartition};
use bowline::dlq::{self, DeadLetterLayer, Filter, OnTransient, Store as _};
use bowline::error::{BoxError, Error, Kind, Rejected, is_caused_by};
use bowline::idempotency::{self, Busy, Claim, Config, Fingerprint, IdempotencyLayer, Key, Token};
use bowline::message::Message;
use bytes::Bytes;
use tower::{Layer, Service, ServiceExt, service_fn};

const LEASE: Duration = Duration::from_secs(3);

fn delivery(record: Record, offset: u64) -> Delivery {
    let position = Position::new(TopicPartition::new("tasks", 0), offset);
    Delivery::new("mail", Received::new(record, position, 1))
}

fn record() -> Record {
    Record::from_message("tasks", &Message::new("task.done", "{}")).unwrap()
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

/// Its answers to completions are lost as often as it says.
#[derive(Debug, Clone)]
struct Lossy(idempotency::Memory, Arc<AtomicU32>);

impl idempotency::Store for Lossy {
    async fn claim(
        &self,
        key: &Key,
        fingerprint: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Claim, Error> {
        self.0.claim(key, fingerprint, lease).await
    }

    async fn complete(&self, token: &Token, result: Bytes, keep: Duration) -> Result<(), Error> {
        self.0.complete(token, result, keep).await?;
        let left = self
            .1
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(Error::new(Kind::Timeout, "lossy", "complete")),
            Err(_) => Ok(()),
        }
    }

    async fn extend(&self, token: &Token, lease: Duration) -> Result<(), Error> {
        self.0.extend(token, lease).await
    }

    async fn abandon(&self, token: &Token) -> Result<(), Error> {
        self.0.abandon(token).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_whose_keeping_was_not_confirmed_is_kept_and_the_work_not_done_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let store = Lossy(idempotency::Memory::new(), Arc::new(AtomicU32::new(3)));
    let service = IdempotencyLayer::new(store).layer(failing_until(1, Arc::clone(&calls)));
    for _ in 0..3 {
        let handled = service.clone().oneshot(delivery(record(), 0)).await;
        handled.unwrap();
    }
    let record = record();
    for _ in 0..3 {
        let handled = service.clone().oneshot(delivery(record.clone(), 0)).await;
        handled.unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 4, "four messages");
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
async fn a_transient_error_passes_unless_told_otherwise() {
    let transient = || -> [BoxError; 2] {
        [
            Error::new(Kind::Unavailable, "mail", "send").into(),
            Rejected::circuit_open("mail", LEASE).into(),
        ]
    };
    for (on_transient, stored) in [
        (None, [false, false]),
        (Some(OnTransient::Pass), [false, false]),
        (Some(OnTransient::DeadLetter), [true, true]),
    ] {
        let letters = dlq::Memory::new();
        let mut layer = DeadLetterLayer::new(letters.clone());
        if let Some(on_transient) = on_transient {
            layer = layer.on_transient(on_transient);
        }
        let answers = [0, 1].map(|number| {
            let fails = service_fn(move |_: Delivery| async move {
                let [away, refused] = transient();
                Err::<(), _>(if number == 0 { away } else { refused })
            });
            layer.layer(fails).oneshot(delivery(record(), number))
        });
        let mut handled = Vec::new();
        for answer in answers {
            handled.push(answer.await.is_ok());
        }
        assert_eq!(handled, stored, "{on_transient:?}");
        let expected = stored.iter().filter(|stored| **stored).count() as u64;
        assert_eq!(letters.count(&Filter::all()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn contention_passes_even_when_transient_errors_are_stored() {
    let letters = dlq::Memory::new();
    let layer = DeadLetterLayer::new(letters.clone()).on_transient(OnTransient::DeadLetter);
    let store = idempotency::Memory::new();
    let hangs = service_fn(|_: Delivery| std::future::pending::<Result<(), BoxError>>());
    let service = layer.layer(IdempotencyLayer::new(store).layer(hangs));
    let record = record();
    let first = tokio::spawn(service.clone().oneshot(delivery(record.clone(), 0)));
    tokio::task::yield_now().await;
    let busy = service.oneshot(delivery(record, 0)).await.unwrap_err();
    assert!(is_caused_by::<Busy>(&*busy), "{busy}");
    first.abort();
    assert_eq!(letters.count(&Filter::all()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_gives_its_claim_back() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let panics_once = service_fn(move |_: Delivery| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        // The first call panics before it has made a future, the second inside of it.
        assert!(call != 0, "at once");
        async move {
            tokio::task::yield_now().await;
            assert!(call != 1, "later");
            Ok::<_, BoxError>(())
        }
    });
    let service = IdempotencyLayer::new(idempotency::Memory::new()).layer(panics_once);
    let record = record();
    for text in ["at once", "later"] {
        let call = service.clone().oneshot(delivery(record.clone(), 0));
        let panic = tokio::spawn(call).await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&text));
    }
    service.oneshot(delivery(record, 0)).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}
