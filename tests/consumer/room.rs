//! How much is with the handler at once, and what is not with it yet.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::broker::Delivery;
use bowline::consumer::Order;
use bowline::error::BoxError;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceBuilder, service_fn};

use crate::script::{Script, run_with, secs};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_threads_together_hand_over_no_more_records_than_allowed() {
    const LIMIT: usize = 3;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        service_fn(move |delivery: Delivery| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                for _ in 0..delivery.position().offset % 4 {
                    yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, BoxError>(())
            }
        })
    };
    let script = Script::default();
    let consumer = run_with(&script, handler, |builder| {
        let limit = LIMIT.try_into().unwrap();
        builder.with_concurrency(limit).with_order(Order::None)
    });
    script.assign(&[(0, 1), (1, 1)]);
    for first in (0..2_000).step_by(50) {
        script.records(0, 1, first..first + 50);
        script.records(1, 1, first..first + 50);
    }
    while consumer.status.snapshot().done < 4_000 {
        assert!(consumer.status.snapshot().in_flight() <= LIMIT);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), LIMIT);
}

/// Takes nothing until it is opened.
#[derive(Clone, Default)]
struct Closed {
    open: Arc<AtomicBool>,
    waiting: Arc<Mutex<Vec<Waker>>>,
    calls: Arc<AtomicUsize>,
}

impl Service<Delivery> for Closed {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.open.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(()));
        }
        self.waiting.lock().unwrap().push(cx.waker().clone());
        Poll::Pending
    }

    fn call(&mut self, _: Delivery) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_for_the_service_holds_up_no_revocation_and_never_begins() {
    let script = Script::default();
    let service = Closed::default();
    let running = run_with(&script, service.clone(), |builder| builder);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 0..3);
    secs(1).await;
    script.revoke(&[(0, 1)]);
    secs(1).await;
    let partitions = running.status.snapshot().partitions;
    assert_eq!(partitions.len(), 1, "the revoked one is released at once");

    service.open.store(true, Ordering::SeqCst);
    let waiting = std::mem::take(&mut *service.waiting.lock().unwrap());
    waiting.into_iter().for_each(Waker::wake);
    secs(1).await;
    assert_eq!(service.calls.load(Ordering::SeqCst), 3);
    assert_eq!(running.status.snapshot().done, 3);
}

/// A service that waits for its turn holds a place in the queue for it, until it is called or dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_revoked_while_it_waits_for_the_service_gives_its_turn_to_others() {
    for _ in 0..8 {
        let (began, open) = (Arc::new(Mutex::new(None)), Arc::new(Semaphore::new(0)));
        let handler = {
            let (began, open) = (Arc::clone(&began), Arc::clone(&open));
            service_fn(move |delivery: Delivery| {
                let (began, open) = (Arc::clone(&began), Arc::clone(&open));
                async move {
                    let partition = delivery.position().partition.partition;
                    began.lock().unwrap().get_or_insert(partition);
                    open.acquire().await?.forget();
                    Ok::<_, BoxError>(())
                }
            })
        };
        let handler = ServiceBuilder::new().concurrency_limit(1).service(handler);
        let script = Script::default();
        let consumer = run_with(&script, handler, |builder| {
            builder.with_order(Order::Partition)
        });
        script.assign(&[(0, 1), (1, 1)]);
        script.records(0, 1, 0..3);
        script.records(1, 1, 0..3);
        let running = until(|| *began.lock().unwrap()).await;
        // The other one waits behind it by now.
        sleep(Duration::from_millis(20)).await;
        script.revoke(&[(1 - running, 1)]);
        let partitions = || consumer.status.snapshot().partitions.len();
        until(|| (partitions() == 1).then_some(())).await;
        open.add_permits(10);
        until(|| (consumer.status.snapshot().done == 3).then_some(())).await;
    }
}

/// Waits until there is an answer.
async fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(30), found).await.unwrap()
}
