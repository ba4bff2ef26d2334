//! Half-open: who may try, and what the answers decide.

use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, Config, RampUp, Reason, State};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use tokio::time::advance;

use super::{SECOND, WAIT, breaker, fail, succeed};

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

const LEASE: Duration = Config::PROBE_LEASE;

#[tokio::test(start_paused = true)]
async fn an_answer_that_outlasts_its_lease_counts_while_it_is_half_open() {
    let breaker = breaker();
    for outcome in [Outcome::Success, Outcome::Failure(Failure::Transient)] {
        breaker.reset();
        fail(&breaker);
        fail(&breaker);
        advance(WAIT).await;
        let probes = [
            breaker.try_acquire().unwrap(),
            breaker.try_acquire().unwrap(),
        ];
        advance(10 * LEASE).await;
        let [first, second] = probes;
        first.record(outcome);
        second.record(outcome);
        let after = match outcome {
            Outcome::Success => State::Closed,
            _ => State::Open,
        };
        assert_eq!(breaker.state(), after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlasts_its_lease_takes_no_place_from_the_one_after_it() {
    let breaker = breaker();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    let late = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    advance(LEASE).await;
    let next = [
        breaker.try_acquire().unwrap(),
        breaker.try_acquire().unwrap(),
    ];
    assert!(breaker.try_acquire().is_err());
    for permit in late {
        permit.record(Outcome::Ignored);
    }
    assert!(
        breaker.try_acquire().is_err(),
        "both places are taken still"
    );
    drop(next);
    succeed(&breaker);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlasts_the_half_open_state_counts_no_more() {
    let breaker = breaker();
    fail(&breaker);
    fail(&breaker);
    advance(WAIT).await;
    let late = breaker.try_acquire().unwrap();
    fail(&breaker);
    assert_eq!(breaker.state(), State::Open);
    advance(WAIT).await;
    let probe = breaker.try_acquire().unwrap();
    late.record(Outcome::Failure(Failure::Transient));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.snapshot().stale, 1);
    probe.record(Outcome::Success);
    succeed(&breaker);
    assert_eq!(breaker.state(), State::Closed);
}
