use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::breaker::{Breaker, State};
use bowline::chaos::{Chaos, Config, Injection};
use bowline::config::Ratio;
use bowline::error::{BoxError, Rejected};
use bowline::timeout::Timeout;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_err};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt, service_fn};

use super::{SECOND, refusal};

type Answer = Result<&'static str, BoxError>;

fn broken() -> BoxError {
    "broken on purpose".into()
}

fn fine() -> Answer {
    Ok("fine")
}

fn half_of_all(seed: u64) -> Chaos<fn() -> BoxError> {
    let chaos = Chaos::builder("upstream")
        .error(Ratio::HALF, broken as fn() -> BoxError)
        .latency(Ratio::HALF, SECOND..2 * SECOND)
        .seed(seed)
        .build()
        .unwrap();
    chaos.enable();
    chaos
}

fn trace(chaos: &Chaos<fn() -> BoxError>, calls: usize) -> Vec<Injection> {
    (0..calls).map(|_| chaos.decide()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_does_nothing_until_it_is_switched_on() {
    let chaos = Chaos::builder("upstream")
        .error(Ratio::ONE, broken)
        .latency(Ratio::ONE, SECOND..2 * SECOND)
        .build()
        .unwrap();
    let began = Instant::now();
    assert_eq!(chaos.call(|| ready(fine())).await.unwrap(), "fine");
    assert_eq!(
        (began.elapsed(), chaos.snapshot().calls),
        (Duration::ZERO, 0)
    );

    chaos.enable();
    assert!(chaos.call(|| ready(fine())).await.is_err());
    assert!(began.elapsed() >= SECOND && began.elapsed() < 2 * SECOND + SECOND / 100);
    chaos.disable();
    assert_eq!(chaos.call(|| ready(fine())).await.unwrap(), "fine");
    let snapshot = chaos.snapshot();
    assert!(!snapshot.enabled);
    assert_eq!(
        (snapshot.calls, snapshot.errors, snapshot.delays),
        (1, 1, 1)
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let decided = trace(&half_of_all(7), 1_000);
    assert_eq!(decided, trace(&half_of_all(7), 1_000));
    assert_ne!(decided, trace(&half_of_all(8), 1_000));
    // Switched off in between it draws nothing.
    let chaos = half_of_all(7);
    let mut parts = trace(&chaos, 300);
    chaos.disable();
    assert!(trace(&chaos, 10).iter().all(|i| *i == Injection::default()));
    chaos.enable();
    parts.extend(trace(&chaos, 700));
    assert_eq!(decided, parts);
}

#[test]
fn another_rate_changes_no_other_decision() {
    let without_errors = Chaos::builder("upstream")
        .latency(Ratio::HALF, SECOND..2 * SECOND)
        .seed(7)
        .build()
        .unwrap();
    without_errors.enable();
    let both = trace(&half_of_all(7), 1_000);
    for decided in both {
        let Injection { latency, error, .. } = without_errors.decide();
        assert_eq!((latency, error), (decided.latency, false));
    }
}

#[test]
fn rates_are_kept_and_latencies_lie_in_their_range() {
    let chaos = half_of_all(7);
    let decided = trace(&chaos, 10_000);
    let snapshot = chaos.snapshot();
    for count in [snapshot.errors, snapshot.delays] {
        assert!((4_700..5_300).contains(&count), "{count}");
    }
    let latencies = || decided.iter().filter_map(|injection| injection.latency);
    assert!(latencies().all(|late| (SECOND..2 * SECOND).contains(&late)));
    assert!(latencies().any(|late| late > SECOND + SECOND * 9 / 10));
    let rarely = Chaos::builder("upstream").error(Ratio::ZERO, broken);
    let never = rarely.build().unwrap();
    never.enable();
    assert!((0..1_000).all(|_| never.decide() == Injection::default()));
}

#[tokio::test(start_paused = true)]
async fn the_decisions_are_drawn_in_the_order_of_the_calls() {
    let decided = trace(&half_of_all(7), 50);
    let chaos = half_of_all(7);
    let mut service = chaos.layer().layer(service_fn(|()| ready(fine())));
    let mut calls: Vec<_> = (0..50).map(|_| Some(service.call(()))).collect();
    // Answered in another order.
    for (call, decided) in calls.iter_mut().zip(&decided).rev() {
        let began = Instant::now();
        let answer = call.take().unwrap().await;
        assert_eq!(answer.is_err(), decided.error);
        let late = decided.latency.unwrap_or_default();
        assert!(began.elapsed() >= late && began.elapsed() <= late + SECOND / 500);
    }
}

#[tokio::test(start_paused = true)]
async fn only_picked_calls_are_broken_and_drawn_for() {
    let chaos = Chaos::builder("upstream")
        .error(Ratio::ONE, broken)
        .build()
        .unwrap();
    chaos.enable();
    let odd = |request: &u32| !request.is_multiple_of(2);
    let layer = chaos.layer().when(odd);
    let service = layer.layer(service_fn(|_: u32| ready(fine())));
    for request in 0..10 {
        let answer = service.clone().oneshot(request).await;
        assert_eq!(answer.is_err(), odd(&request));
    }
    assert_eq!(chaos.snapshot().calls, 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_not_made_and_one_that_is_late_counts_as_slow() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let places = Arc::new(Semaphore::new(1));
    let inner = service_fn(move |()| {
        counted.fetch_add(1, Ordering::SeqCst);
        ready(fine())
    });
    let limited = ConcurrencyLimit::with_semaphore(inner, Arc::clone(&places));
    let failing = Chaos::builder("upstream").error(Ratio::ONE, broken);
    let failing = failing.build().unwrap();
    failing.enable();
    let mut service = failing.layer().layer(limited.clone());
    // What was ready stays ready.
    for _ in 0..3 {
        assert!(service.ready().await.unwrap().call(()).await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    drop(service);

    let late = Chaos::builder("upstream").latency(Ratio::ONE, SECOND..SECOND);
    let late = late.build().unwrap();
    late.enable();
    let mut service = late.layer().layer(limited);
    let call = service.ready().await.unwrap().call(());
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(places.available_permits(), 0);
    drop(call);
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn late_calls_time_out_and_open_the_breaker_around_them() {
    let chaos = Chaos::builder("upstream")
        .latency(Ratio::ONE, 5 * SECOND..5 * SECOND)
        .build()
        .unwrap();
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(2)
        .build()
        .unwrap();
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(Timeout::new(SECOND).unwrap().layer())
        .layer(chaos.layer())
        .service(service_fn(|()| ready(fine())));
    assert!(service.ready().await.unwrap().call(()).await.is_ok());
    chaos.enable();
    for _ in 0..2 {
        let error = service.ready().await.unwrap().call(()).await.unwrap_err();
        assert_eq!(*refusal(&error), Rejected::elapsed(SECOND));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn all_layers_of_a_chaos_are_one() {
    let chaos = Chaos::builder("upstream")
        .error(Ratio::ONE, broken)
        .build()
        .unwrap();
    let fine = service_fn(|()| ready(fine()));
    let services = [chaos.layer().layer(fine), chaos.clone().layer().layer(fine)];
    chaos.enable();
    for mut service in services {
        let mut call = tokio_test::task::spawn(service.call(()));
        assert_ready_err!(call.poll());
    }
    assert_eq!(chaos.snapshot().errors, 2);
}

#[test]
fn every_problem_is_reported() {
    let mut config = Config::default();
    config.error_rate = Ratio::HALF;
    config.latency_min = SECOND;
    let refused = Chaos::builder("upstream").config(config).build();
    let refused = refused.unwrap_err();
    let fields: Vec<_> = refused.problems().iter().map(|p| &*p.field).collect();
    assert_eq!(fields, ["error_rate", "latency_max"]);
    config.latency_max = SECOND;
    let built = Chaos::builder("upstream")
        .config(config)
        .errors(broken)
        .build();
    assert_eq!(built.unwrap().config().error_rate, Ratio::HALF);
}

#[tokio::test(start_paused = true)]
async fn another_policy_goes_on_with_the_trace_and_switches_nothing_on() {
    let both = trace(&half_of_all(7), 400);
    let chaos = half_of_all(7);
    let mut policy = chaos.config();
    assert_eq!(policy.seed, Some(7));
    let mut decided = trace(&chaos, 200);
    policy.error_rate = Ratio::ZERO;
    chaos.clone().reconfigure(policy).unwrap();
    let calm = trace(&chaos, 100);
    assert!(calm.iter().all(|injection| !injection.error));
    decided.extend(calm.iter().zip(&both[200..]).map(|(calm, known)| {
        assert_eq!(calm.latency, known.latency);
        *known
    }));
    policy.error_rate = Ratio::HALF;
    chaos.reconfigure(policy).unwrap();
    decided.extend(trace(&chaos, 100));
    assert_eq!(decided, both);
    // Another seed is another trace, from its beginning.
    policy.seed = Some(8);
    chaos.reconfigure(policy).unwrap();
    assert_eq!(trace(&chaos, 100), trace(&half_of_all(8), 100));
    assert_eq!(chaos.snapshot().calls, 500);

    chaos.disable();
    policy.error_rate = Ratio::ONE;
    chaos.reconfigure(policy).unwrap();
    assert!(!chaos.is_enabled());
    assert_eq!(chaos.call(|| ready(fine())).await.unwrap(), "fine");
}

#[test]
fn another_policy_without_an_error_to_give_is_refused_and_changes_nothing() {
    let chaos = Chaos::builder("upstream").build().unwrap();
    let mut policy = Config::default();
    policy.error_rate = Ratio::HALF;
    policy.latency_rate = Ratio::HALF;
    let error = chaos.reconfigure(policy).unwrap_err();
    let fields: Vec<_> = error.problems().iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["error_rate", "latency_max"]);
    assert_eq!(chaos.config(), Config::default());
}
