//! Open: what callers are told, and for how long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, State};
use bowline::classify::{Failure, Outcome};
use bowline::error::Rejected;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::Layer;
use tower_test::mock;

use super::{SECOND, Service, Upstream, WAIT, answer, breaker, fail, refusal};

#[tokio::test(start_paused = true)]
async fn an_open_breaker_asks_nobody_and_says_how_long() {
    let breaker = breaker();
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(breaker.layer().layer(mock));
    for _ in 0..2 {
        assert_ready_ok!(service.poll_ready());
        let mut call = tokio_test::task::spawn(service.call("hello"));
        assert_pending!(call.poll());
        answer!(upstream, "hello", Err("down"));
        assert_ready_err!(call.poll());
    }
    assert_eq!(breaker.state(), State::Open);
    advance(4 * SECOND).await;

    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("never asked"));
    let error = assert_ready_err!(call.poll());
    let Rejected::CircuitOpen {
        name,
        state,
        last_failure,
        retry_after,
        ..
    } = refusal(&error)
    else {
        panic!("{error}");
    };
    assert_eq!((&**name, *state), ("upstream", State::Open));
    assert_eq!(*last_failure, Some(Failure::Transient));
    assert_eq!(*retry_after, Some(WAIT - 4 * SECOND));
    let mut asked = tokio_test::task::spawn(upstream.next_request());
    assert_pending!(asked.poll());
    assert_eq!(breaker.snapshot().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inner_services_and_takes_no_place() {
    let breaker = breaker();
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    upstream.allow(0);
    let mut service = mock::Spawn::new(breaker.layer().layer(mock));
    assert_pending!(service.poll_ready());
    upstream.allow(1);
    assert_ready_ok!(service.poll_ready());

    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    // Ready again and again, but never called: both probes are still to be had.
    for _ in 0..5 {
        assert_ready_ok!(service.poll_ready());
    }
    let probes = (breaker.try_acquire(), breaker.try_acquire());
    assert!(matches!(probes, (Ok(_), Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn it_stays_away_as_long_as_the_service_asked_within_the_cap() {
    let asked = |asked: Duration| {
        let breaker = Breaker::builder("upstream")
            .consecutive_failures(1)
            .open_for(Backoff::exponential(SECOND).cap(WAIT).jitter(Jitter::None))
            .build()
            .unwrap();
        let retry_after = Some(asked);
        let throttled = Outcome::Failure(Failure::Throttled { retry_after });
        breaker.try_acquire().unwrap().record(throttled);
        breaker.snapshot().retry_after.unwrap()
    };
    assert_eq!(asked(Duration::ZERO), SECOND);
    assert_eq!(asked(4 * SECOND), 4 * SECOND);
    assert_eq!(asked(1_000 * SECOND), WAIT);
}

#[tokio::test(start_paused = true)]
async fn a_function_may_say_how_long_and_may_use_the_breaker() {
    let itself: Arc<OnceLock<Breaker>> = Arc::default();
    let seen = Arc::clone(&itself);
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .open_for_fn(move |opening| {
            assert_eq!(seen.get().unwrap().state(), State::Open);
            SECOND * opening.times
        })
        .build()
        .unwrap();
    itself.set(breaker.clone()).unwrap();
    for times in 1..4 {
        fail(&breaker);
        assert_eq!(breaker.snapshot().retry_after, Some(SECOND * times));
        advance(SECOND * times).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_while_a_panic_drops_the_permit_ends_nothing() {
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .open_for(Backoff::constant(WAIT).jitter(Jitter::None))
        .open_for_fn(|_| panic!("how long?"))
        .probes(1)
        .build()
        .unwrap();
    fail(&breaker);
    assert_eq!(breaker.snapshot().retry_after, Some(WAIT));

    advance(WAIT).await;
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _permit = breaker.try_acquire().expect("a probe");
        panic!("of the call");
    }));
    assert!(unwound.is_err());
    assert_eq!(breaker.snapshot().retry_after, Some(WAIT), "it opened anew");
    advance(WAIT).await;
    super::succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
}
