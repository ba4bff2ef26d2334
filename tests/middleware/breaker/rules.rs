//! Which outcomes count, and when they open it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Cancelled, Reason, State, Window};
use bowline::classify::Outcome;
use bowline::config::Ratio;
use bowline::error::{BoxError, Rejected};
use tokio::time::advance;
use tokio_test::assert_pending;

use super::{SECOND, WAIT, breaker, fail, succeed};

#[tokio::test(start_paused = true)]
async fn refusals_and_ignored_outcomes_say_nothing() {
    let breaker = breaker();
    for _ in 0..10 {
        breaker.try_acquire().unwrap().record(Outcome::Ignored);
        drop(breaker.try_acquire().unwrap());
        let refused = breaker
            .call(|| async { Err::<(), _>(inner_refusal()) })
            .await;
        assert!(refused.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().calls, 0);
}

fn inner_refusal() -> BoxError {
    Rejected::circuit_open("inner", SECOND).into()
}

fn buggy() -> Result<(), BoxError> {
    panic!("a bug");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_call_counts_and_one_elsewhere_does_not() {
    let breaker = breaker();
    for _ in 0..2 {
        let call = breaker.call(|| async { buggy() });
        let mut call = pin!(call);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        assert!(polled.is_err());
    }
    assert_eq!(breaker.state(), State::Open);

    breaker.reset();
    for _ in 0..5 {
        let calling = breaker.clone();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let call = calling.call(std::future::pending::<Result<(), BoxError>>);
            let mut call = tokio_test::task::spawn(call);
            assert_pending!(call.poll());
            panic!("while the call waits");
        }));
        assert!(unwound.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_counts_too() {
    let breaker = breaker();
    let classifier = |_: Result<&(), &BoxError>| panic!("a bug");
    for _ in 0..2 {
        let call = breaker.call_with(&classifier, || async { Ok::<_, BoxError>(()) });
        let mut call = pin!(call);
        let mut cx = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
        assert!(polled.is_err());
    }
    assert_eq!(breaker.state(), State::Open);
}

fn slow_breaker() -> Breaker {
    Breaker::builder("upstream")
        .without_failure_rate()
        .slow_calls(Ratio::HALF, SECOND)
        .window(Window::Calls(4))
        .minimum_calls(2)
        .open_for(Backoff::constant(WAIT).jitter(Jitter::None))
        .probes(1)
        .build()
        .expect("a fine policy")
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_and_a_slow_probe_does_not_close_it() {
    let breaker = slow_breaker();
    let first = breaker.try_acquire().unwrap();
    let second = breaker.try_acquire().unwrap();
    advance(SECOND - Duration::from_millis(1)).await;
    first.record(Outcome::Success);
    advance(Duration::from_millis(1)).await;
    second.record(Outcome::Success);
    assert_eq!(breaker.snapshot().reason, Some(Reason::SlowCallRate));
    advance(WAIT).await;
    let probe = breaker.try_acquire().unwrap();
    advance(SECOND).await;
    probe.record(Outcome::Success);
    assert_eq!(breaker.state(), State::Open);
    advance(WAIT).await;
    succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_counts_by_the_rule_for_it() {
    let dropped_after = |cancelled, after: Duration| async move {
        let breaker = Breaker::builder("upstream").consecutive_failures(1);
        let breaker = breaker.cancelled(cancelled).build().unwrap();
        let permit = breaker.try_acquire().unwrap();
        advance(after).await;
        drop(permit);
        breaker.state()
    };
    assert_eq!(dropped_after(Cancelled::Ignored, WAIT).await, State::Closed);
    assert_eq!(
        dropped_after(Cancelled::FailureIfSlow, WAIT).await,
        State::Closed
    );
    assert_eq!(
        dropped_after(Cancelled::Failure, Duration::ZERO).await,
        State::Open
    );
    let after = Cancelled::FailureAfter(SECOND);
    assert_eq!(dropped_after(after, SECOND / 2).await, State::Closed);
    assert_eq!(dropped_after(after, SECOND).await, State::Open);

    let breaker = slow_breaker();
    let permits = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    advance(SECOND).await;
    drop(permits);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_time_forgets() {
    let breaker = Breaker::builder("upstream")
        .window(Window::Time(WAIT))
        .minimum_calls(3)
        .build()
        .unwrap();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    fail(&breaker);
    fail(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().calls, 2);
    fail(&breaker);
    assert_eq!(breaker.snapshot().reason, Some(Reason::FailureRate));
}
