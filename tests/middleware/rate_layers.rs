//! A rate limiter before a service.

use std::task::{Context, Poll};
use std::time::Duration;

use bowline::breaker::{Breaker, State};
use bowline::error::BoxError;
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceExt as _, service_fn};
use tower_test::mock;

use super::rate::{STEP, drained, limiter};
use super::{SECOND, Service, Upstream, answer, refusal};

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inner_services_and_takes_no_permit() {
    let limiter = limiter(SECOND);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    upstream.allow(0);
    let mut service = mock::Spawn::new(limiter.layer().layer(mock.clone()));
    let mut waiting = mock::Spawn::new(limiter.waiting_layer().layer(mock));
    assert_pending!(service.poll_ready());
    assert_pending!(waiting.poll_ready());
    upstream.allow(10);
    // As a server does for connections on which nothing comes.
    let mut idle: Vec<_> = (0..4).map(|_| service.clone()).collect();
    for service in &mut idle {
        assert_ready_ok!(service.poll_ready());
    }
    assert_ready_ok!(waiting.poll_ready());
    drop(waiting);
    assert_eq!(limiter.available(), 2);
    let mut calls: Vec<_> = idle.iter_mut().map(|s| spawn(s.call("hi"))).collect();
    assert_pending!(calls[0].poll());
    assert_pending!(calls[1].poll());
    let refused = assert_ready_err!(calls[2].poll());
    // This layer never waits.
    assert_eq!(refusal(&refused).retry_after(), Some(STEP));
    answer!(upstream, "hi", Ok("ho"));
    assert_eq!(assert_ready_ok!(calls[0].poll()), "ho");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_made_from_a_limiter_shares_its_state() {
    let limiter = limiter(Duration::ZERO);
    let echo = || service_fn(|request: u8| async move { Ok::<_, BoxError>(request) });
    let (one, two) = (limiter.layer().layer(echo()), limiter.layer().layer(echo()));
    assert!(one.clone().oneshot(1).await.is_ok());
    assert!(
        limiter
            .waiting_layer()
            .layer(echo())
            .oneshot(2)
            .await
            .is_ok()
    );
    assert!(two.oneshot(3).await.is_err());
    assert!(limiter.clone().try_acquire().is_err());
    assert!(
        limiter
            .fresh()
            .layer()
            .layer(echo())
            .oneshot(4)
            .await
            .is_ok()
    );
    assert!(one.oneshot(5).await.is_err());
}

/// Cannot be cloned, and panics when it is called without having been made ready.
#[derive(Debug, Default)]
struct Fussy {
    is_ready: bool,
    calls: u32,
}

impl tower::Service<u8> for Fussy {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u8) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "not ready");
        self.calls += 1;
        std::future::ready(Ok(self.calls))
    }
}

/// Its clones have to be made ready themselves.
#[derive(Debug, Default)]
struct Cloning(Fussy);

impl Clone for Cloning {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl tower::Service<u8> for Cloning {
    type Response = u32;
    type Error = BoxError;
    type Future = std::future::Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u8) -> Self::Future {
        self.0.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_made_ready_is_the_one_that_is_called() {
    let mut service = limiter(SECOND).layer().layer(Fussy::default());
    for call in 1..=2 {
        assert_eq!(service.ready().await.unwrap().call(0).await.unwrap(), call);
    }
    assert!(service.ready().await.unwrap().call(0).await.is_err());

    let mut service = limiter(SECOND).waiting_layer().layer(Cloning::default());
    for _ in 0..5 {
        service.ready().await.unwrap().call(0).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_permit_holds_nobody_elses_place() {
    let limiter = drained(SECOND);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let inner = ConcurrencyLimit::new(mock, 1);
    let mut other = mock::Spawn::new(inner.clone());
    let mut service = mock::Spawn::new(limiter.waiting_layer().layer(inner));
    assert_ready_ok!(service.poll_ready());
    assert_pending!(other.poll_ready());
    let mut waits = spawn(service.call("waits"));
    assert_pending!(waits.poll());
    // The one place is free, and another one may have it.
    assert_ready_ok!(other.poll_ready());
    let mut runs = spawn(other.call("runs"));
    answer!(upstream, "runs", Ok("done"));

    advance(STEP).await;
    assert_pending!(waits.poll());
    assert_ready_ok!(runs.poll());
    drop(runs);
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    answer!(upstream, "waits", Ok("in its time"));
    assert_eq!(assert_ready_ok!(waits.poll()), "in its time");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_it_is_made_gives_its_permit_back() {
    let limiter = drained(SECOND);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(limiter.waiting_layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut waits = spawn(service.call("waits"));
    assert_pending!(waits.poll());
    assert_eq!(limiter.snapshot().next_in, STEP * 2);
    drop(waits);
    assert_eq!(limiter.snapshot().next_in, STEP);

    // Its time comes, but the service is not ready.
    assert_ready_ok!(service.poll_ready());
    let mut waits = spawn(service.call("waits"));
    assert_pending!(waits.poll());
    upstream.allow(0);
    advance(STEP).await;
    assert_pending!(waits.poll());
    assert_eq!(limiter.available(), 0);
    drop(waits);
    assert_eq!(limiter.available(), 1);

    // Once it is made it is used.
    limiter.try_acquire().expect("the one permit");
    upstream.allow(2);
    assert_ready_ok!(service.poll_ready());
    let mut waits = spawn(service.call("made"));
    assert_pending!(waits.poll());
    advance(STEP).await;
    assert_pending!(waits.poll());
    drop(waits);
    assert_eq!(limiter.available(), 0);
    assert_eq!(upstream.next_request().await.unwrap().0, "made");
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_breaks_while_a_call_waits_is_told_and_costs_no_permit() {
    let limiter = drained(SECOND);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(limiter.waiting_layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut waits = spawn(service.call("waits"));
    assert_pending!(waits.poll());
    upstream.send_error("gone");
    advance(STEP).await;
    assert_eq!(assert_ready_err!(waits.poll()).to_string(), "gone");
    assert_eq!(limiter.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_no_failure_of_an_outer_breaker() {
    let breaker = Breaker::builder("x")
        .consecutive_failures(1)
        .build()
        .unwrap();
    let limited = drained(Duration::ZERO)
        .layer()
        .layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    let service = breaker.layer().layer(limited);
    for _ in 0..1_000 {
        assert!(service.clone().oneshot(()).await.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
}
