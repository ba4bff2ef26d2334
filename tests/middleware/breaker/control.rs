//! What is done by hand, and what there is to see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::breaker::{Config, State};
use bowline::classify::{Failure, Outcome};
use bowline::error::BoxError;
use tokio::time::advance;
use tower::{Layer, Service as _, service_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::{WAIT, breaker, fail, succeed};

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
    assert_eq!(breaker.config().consecutive_failures, Some(3));
    assert_eq!(breaker.config().probes, Config::PROBES);
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

/// Counts the events of breakers.
struct Events(Arc<AtomicU32>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().name().starts_with("bowline.breaker.") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_state_is_an_event_and_a_rejection_is_none() {
    let events = Arc::new(AtomicU32::new(0));
    let seen = tracing_subscriber::registry().with(Events(Arc::clone(&events)));
    let _seen = tracing::subscriber::set_default(seen);
    let breaker = breaker();
    fail(&breaker);
    fail(&breaker);
    for _ in 0..1_000 {
        assert!(breaker.try_acquire().is_err());
    }
    assert_eq!(events.load(Ordering::Relaxed), 1, "closed to open");
    advance(WAIT).await;
    let _probes = (breaker.try_acquire(), breaker.try_acquire());
    for _ in 0..1_000 {
        assert!(breaker.try_acquire().is_err());
    }
    assert_eq!(events.load(Ordering::Relaxed), 2, "open to half-open");
}
