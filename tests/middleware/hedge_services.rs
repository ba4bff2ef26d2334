//! The services that hedges are made by: their readiness, their clones, their requests.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bowline::error::BoxError;
use tokio::sync::Semaphore;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_test::mock;

use super::hedge::{Answer, after, hedge, policy};
use super::{SECOND, Service, Upstream, answer};

#[tokio::test(start_paused = true)]
async fn a_hedge_waits_for_the_readiness_of_its_own_clone() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    upstream.allow(1);
    let mut service = mock::Spawn::new(hedge().layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    let (_, first) = upstream.next_request().await.unwrap();
    advance(SECOND).await;
    assert_pending!(call.poll());
    {
        let mut asked = tokio_test::task::spawn(upstream.next_request());
        assert_pending!(asked.poll());
    }
    // The first attempt goes on while the hedge waits.
    first.send_response("first");
    assert_eq!(assert_ready_ok!(call.poll()), "first");

    upstream.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("again"));
    assert_pending!(call.poll());
    let (_, first) = upstream.next_request().await.unwrap();
    advance(SECOND).await;
    assert_pending!(call.poll());
    upstream.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    answer!(upstream, "again", Ok("second"));
    assert_eq!(assert_ready_ok!(call.poll()), "second");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn no_place_is_held_for_a_hedge_that_is_not_due() {
    let places = Arc::new(Semaphore::new(2));
    let slow = service_fn(|()| pending::<Answer>());
    let limited = ConcurrencyLimit::with_semaphore(slow, Arc::clone(&places));
    let mut service = hedge().layer().layer(limited);
    let call = service.ready().await.unwrap().call(());
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(places.available_permits(), 1);
    advance(SECOND).await;
    assert_pending!(call.poll());
    assert_eq!(places.available_permits(), 0);
    drop(call);
    assert_eq!(places.available_permits(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_breaks_does_not_fail_the_first_attempt() {
    /// The first of them works; its clones never get ready.
    struct Only(bool);

    impl Clone for Only {
        fn clone(&self) -> Self {
            Self(false)
        }
    }

    impl tower::Service<()> for Only {
        type Response = u32;
        type Error = BoxError;
        type Future = std::pin::Pin<Box<dyn Future<Output = Answer>>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            let broken = || Err(BoxError::from("broken"));
            Poll::Ready(if self.0 { Ok(()) } else { broken() })
        }

        fn call(&mut self, (): ()) -> Self::Future {
            assert!(self.0, "the readied one makes the call");
            Box::pin(after(5, Ok(1)))
        }
    }

    let mut service = hedge().layer().layer(Only(true));
    let call = service.ready().await.unwrap().call(());
    assert_eq!(call.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_twice_goes_once_and_the_last_attempt_needs_no_copy() {
    let slow = service_fn(|_: u32| after(60, Ok::<_, BoxError>(())));
    let hedge = policy().attempts(3).build().unwrap();
    let once = hedge.layer().with_requests(|_: &u32| None).layer(slow);
    once.oneshot(1).await.unwrap();
    assert_eq!(hedge.snapshot().started, 0);

    let copies = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&copies);
    let counting = move |request: &u32| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(*request)
    };
    let service = hedge.layer().with_requests(counting).layer(slow);
    service.oneshot(1).await.unwrap();
    assert_eq!(hedge.snapshot().started, 2);
    assert_eq!(copies.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn all_layers_of_a_hedge_are_one() {
    let hedge = hedge();
    let seen = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&seen);
    let slow = service_fn(move |()| {
        *counted.lock().unwrap() += 1;
        after(60, Ok::<_, BoxError>(()))
    });
    for layer in [hedge.layer(), hedge.clone().layer()] {
        layer.layer(slow.clone()).oneshot(()).await.unwrap();
    }
    assert_eq!(*seen.lock().unwrap(), 4);
    assert_eq!(hedge.snapshot().started, 2);
}

#[tokio::test(start_paused = true)]
async fn a_readiness_error_of_the_first_attempt_is_the_callers() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    upstream.send_error("broken");
    let mut service = mock::Spawn::new(hedge().layer().layer(mock));
    assert!(assert_ready!(service.poll_ready()).is_err());
    drop(upstream);
    assert_ready_err!(service.poll_ready());
}
