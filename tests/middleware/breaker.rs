use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Cancelled, Config, RampUp, Reason, State, Window};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use bowline::error::{BoxError, Rejected};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service as _, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

const WAIT: Duration = Duration::from_secs(10);

/// Opens at the second failure in a row, stays open for ten seconds, and closes after two probes.
fn breaker() -> Breaker {
    Breaker::builder("upstream")
        .consecutive_failures(2)
        .open_for(Backoff::constant(WAIT).jitter(Jitter::None))
        .probes(2)
        .build()
        .expect("a fine policy")
}

fn fail(breaker: &Breaker) {
    let permit = breaker.try_acquire().expect("it lets the call through");
    permit.record(Outcome::Failure(Failure::Transient));
}

fn succeed(breaker: &Breaker) {
    let permit = breaker.try_acquire().expect("it lets the call through");
    permit.record(Outcome::Success);
}

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
async fn probes_decide() {
    let breaker = breaker();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT - Duration::from_millis(1)).await;
    assert_eq!(breaker.state(), State::Open);
    advance(Duration::from_millis(1)).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.snapshot().reason, Some(Reason::Probes));

    advance(WAIT).await;
    succeed(&breaker);
    assert_eq!(breaker.state(), State::HalfOpen);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    let snapshot = breaker.snapshot();
    assert_eq!((snapshot.calls, snapshot.failures), (0, 0));
    assert_eq!(snapshot.reason, None);
}

#[tokio::test(start_paused = true)]
async fn probes_are_bounded_and_their_places_come_back() {
    let breaker = breaker();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    let first = breaker.try_acquire().unwrap();
    let second = breaker.try_acquire().unwrap();
    let refused = breaker.try_acquire().unwrap_err();
    // Not the lease of half a minute: a probe may answer at any moment.
    assert_eq!(refused.retry_after(), Some(SECOND));
    drop(first);
    let third = breaker
        .try_acquire()
        .expect("the place of the one given up");
    drop(second);
    drop(third);

    // A probe that never answers loses its place to another call.
    let _lost = (
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    );
    assert!(breaker.try_acquire().is_err());
    advance(Duration::from_secs(30)).await;
    succeed(&breaker);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_began_before_a_change_of_state_counts_no_more() {
    let breaker = breaker();
    let early: Vec<_> = (0..6).map(|_| breaker.try_acquire().unwrap()).collect();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    let probe = breaker.try_acquire().unwrap();
    let mut early = early.into_iter();
    for permit in early.by_ref().take(3) {
        permit.record(Outcome::Failure(Failure::Transient));
    }
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.record(Outcome::Success);
    for permit in early {
        permit.record(Outcome::Success);
    }
    assert_eq!(breaker.state(), State::HalfOpen, "one probe is not two");
}

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
async fn opened_by_hand_no_time_closes_it() {
    let breaker = breaker();
    breaker.force_open();
    advance(Duration::from_secs(86_400)).await;
    let refused = breaker.try_acquire().unwrap_err();
    assert_eq!(refused.retry_after(), None);
    assert_eq!(
        refused.to_string(),
        "circuit upstream is forced-open until somebody resets it"
    );
    breaker.reset();
    succeed(&breaker);
}

#[tokio::test(start_paused = true)]
async fn all_layers_of_a_breaker_are_one() {
    let breaker = breaker();
    let failing = service_fn(|_: ()| async { Err::<(), BoxError>("down".into()) });
    let mut one = breaker.layer().layer(failing);
    let mut two = breaker.clone().layer().layer(failing);
    assert!(one.call(()).await.is_err());
    assert!(two.call(()).await.is_err());
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

#[tokio::test(start_paused = true)]
async fn part_of_the_probes_may_be_enough_and_traffic_comes_back_little_by_little() {
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .open_for(Backoff::constant(WAIT).jitter(Jitter::None))
        .probes(4)
        .success_ratio(Ratio::HALF)
        .ramp_up(RampUp::over(100 * SECOND))
        .build()
        .unwrap();
    fail(&breaker);
    advance(WAIT).await;
    fail(&breaker);
    fail(&breaker);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::HalfOpen);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::RampingUp);
    for (seconds, share) in [(0, 0.1), (50, 0.55), (40, 0.91)] {
        advance(seconds * SECOND).await;
        let passed = (0..20_000)
            .filter(|_| breaker.try_acquire().is_ok())
            .count();
        let passed = passed as f64 / 20_000.0;
        assert!((passed - share).abs() < 0.03, "{passed}, not {share}");
    }
    let refused = (0..1_000)
        .find_map(|_| breaker.try_acquire().err())
        .unwrap();
    assert_eq!(refused.retry_after(), Some(SECOND));
    advance(10 * SECOND).await;
    assert_eq!(breaker.state(), State::Closed);
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
async fn every_subscriber_hears_of_every_change_in_order() {
    let breaker = breaker();
    let mut changes = breaker.subscribe();
    let mut next = async || {
        let change = changes.next().await.expect("the breaker lives");
        (change.from, change.to)
    };
    fail(&breaker);
    fail(&breaker);
    assert_eq!(next().await, (State::Closed, State::Open));
    advance(WAIT).await;
    succeed(&breaker);
    succeed(&breaker);
    assert_eq!(next().await, (State::Open, State::HalfOpen));
    assert_eq!(next().await, (State::HalfOpen, State::Closed));
    breaker.disable();
    assert_eq!(next().await, (State::Closed, State::Disabled));
    drop(breaker);
    assert_eq!(changes.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn watched_only_or_disabled_it_lets_all_pass() {
    let breaker = breaker();
    breaker.metrics_only();
    for _ in 0..10 {
        fail(&breaker);
    }
    assert_eq!(breaker.state(), State::MetricsOnly);
    assert_eq!(breaker.snapshot().failures, 10);
    breaker.disable();
    for _ in 0..10 {
        fail(&breaker);
    }
    assert_eq!(breaker.snapshot().failures, 10);
    breaker.reset();
    assert_eq!(
        (breaker.state(), breaker.snapshot().calls),
        (State::Closed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn another_policy_keeps_what_was_seen() {
    let breaker = breaker();
    fail(&breaker);
    let mut config = Config::default();
    config.consecutive_failures = Some(3);
    breaker.reconfigure(config.clone()).unwrap();
    fail(&breaker);
    assert_eq!(breaker.state(), State::Closed);
    config.probes = 0;
    let refused = breaker.reconfigure(config).unwrap_err();
    assert_eq!(refused.problems()[0].field, "probes");
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_outlives_its_breaker_says_nothing_to_the_next_one() {
    for _ in 0..100 {
        let permits: Vec<_> = {
            let gone = breaker();
            (0..3).map(|_| gone.try_acquire().unwrap()).collect()
        };
        let next = breaker();
        for permit in permits {
            permit.record(Outcome::Failure(Failure::Transient));
        }
        assert_eq!((next.state(), next.snapshot().calls), (State::Closed, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn another_rule_for_probes_begins_anew_with_them() {
    let policy = |probes, ratio| {
        let mut config = Config::default();
        config.consecutive_failures = Some(2);
        config.open_for = Backoff::constant(WAIT).jitter(Jitter::None);
        config.probes = probes;
        config.success_ratio = ratio;
        config
    };
    let breaker = Breaker::builder("upstream").config(policy(10, Ratio::HALF));
    let breaker = breaker.build().unwrap();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    for _ in 0..4 {
        succeed(&breaker);
    }
    breaker.reconfigure(policy(3, Ratio::ONE)).unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    for _ in 0..3 {
        succeed(&breaker);
    }
    assert_eq!(breaker.state(), State::Closed);
}
