//! A pattern for each key of the requests, before a service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bowline::adaptive::Adaptive;
use bowline::breaker::{Breaker, State, Window};
use bowline::bulkhead::Bulkhead;
use bowline::classify::{Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::keyed::{KeyedLayer, Registry};
use bowline::rate::{Rate, RateLimiter};
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service as _, ServiceExt as _, service_fn};
use tower_test::mock;

use super::rate::{STEP, limiter};
use super::{SECOND, Service, Upstream, answer, refusal};

/// Echoes the key.
fn echo() -> impl Clone + tower::Service<u32, Response = u32, Error = BoxError> {
    service_fn(|key: u32| async move { Ok::<_, BoxError>(key) })
}

/// Fails for odd keys.
fn fails_for_odd() -> impl Clone + tower::Service<u32, Response = u32, Error = BoxError> {
    service_fn(|key: u32| async move {
        match key % 2 {
            0 => Ok(key),
            _ => Err(BoxError::from("odd")),
        }
    })
}

fn one_in_an_hour() -> RateLimiter {
    let limiter = RateLimiter::builder("user")
        .rate(Rate::per_hour(1))
        .burst(1);
    limiter.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_limit() {
    let each = limiter(Duration::ZERO);
    let limiters = Registry::builder(move |_: &String| each.fresh())
        .build()
        .unwrap();
    let made = AtomicUsize::new(0);
    let inner = service_fn(|_: (&str, u8)| async {
        made.fetch_add(1, Ordering::Relaxed);
        Ok::<_, BoxError>(())
    });
    let users = limiters.clone();
    let of = move |request: &(&str, u8)| users.get(request.0).layer();
    let service = KeyedLayer::new(of).layer(inner);
    for (name, fine) in [("ann", 2), ("bob", 2), ("ann", 0)] {
        let mut passed = 0;
        for number in 0..5 {
            passed += u32::from(service.clone().oneshot((name, number)).await.is_ok());
        }
        assert_eq!(passed, fine, "{name}");
    }
    assert_eq!((made.load(Ordering::Relaxed), limiters.len()), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn more_hot_keys_than_the_registry_holds_do_not_get_past_the_limit() {
    const CAPACITY: u32 = 10;
    let each = one_in_an_hour();
    let limiters = Registry::builder(move |_: &u32| each.fresh()).capacity(CAPACITY);
    let limiters = limiters.build().unwrap();
    let registry = limiters.clone();
    let service = KeyedLayer::new(move |key: &u32| registry.get(key).layer()).layer(echo());
    let mut passed = 0;
    for round in 0..5 {
        for key in 0..1_000 {
            passed += u32::from(service.clone().oneshot(key).await.is_ok());
            // The same key again and again, and each time another one.
            passed += u32::from(service.clone().oneshot(u32::MAX).await.is_ok());
            let new = 1_000 + round * 1_000 + key;
            passed += u32::from(service.clone().oneshot(new).await.is_ok());
        }
    }
    // One for each key that is kept, and one for all others.
    assert_eq!(passed, CAPACITY + 1);
    assert_eq!(limiters.len(), CAPACITY as usize);
    // As one key's limit comes back, so does theirs.
    advance(3_600 * SECOND - Duration::from_nanos(1)).await;
    assert!(limiters.overflow().unwrap().try_acquire().is_err());
    advance(Duration::from_nanos(1)).await;
    assert!(limiters.overflow().unwrap().try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_breaker_for_which_there_is_no_room_rejects_nobody_for_the_failures_of_another() {
    let policy = Breaker::builder("host").consecutive_failures(1);
    let breakers = Registry::builder(move |_: &u32| policy.clone().build().unwrap());
    let breakers = breakers.capacity(2).build().unwrap();
    let registry = breakers.clone();
    let service =
        KeyedLayer::new(move |key: &u32| registry.get(key).layer()).layer(fails_for_odd());
    for key in [1, 3, 5, 7] {
        assert!(service.clone().oneshot(key).await.is_err());
    }
    for (key, state) in [(1, Some(State::Open)), (3, Some(State::Open)), (5, None)] {
        assert_eq!(breakers.find(&key).map(|breaker| breaker.state()), state);
    }
    assert_eq!(service.oneshot(8).await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn what_comes_of_a_call_is_not_forgotten_because_other_keys_came_meanwhile() {
    let policy = Breaker::builder("host")
        .consecutive_failures(1)
        .window(Window::Time(SECOND));
    let breakers = Registry::builder(move |_: &&str| policy.clone().build().unwrap());
    let breakers = breakers.capacity(1).build().unwrap();
    let registry = breakers.clone();
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let of = move |key: &&'static str| registry.get(key).layer();
    let mut service = mock::Spawn::new(KeyedLayer::new(of).layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = spawn(service.call("slow"));
    assert_pending!(call.poll());
    assert_eq!(breakers.evict_idle(), 0);
    for _ in 0..100 {
        drop(breakers.get(&"other"));
    }
    answer!(upstream, "slow", Err("down"));
    assert_ready_err!(call.poll());
    assert_eq!(breakers.get(&"slow").state(), State::Open);
    // An answer that is held, as its future is, holds nothing.
    breakers.get(&"slow").reset();
    assert_eq!(breakers.evict_idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_has_all_its_places_taken_takes_nobody_elses_and_may_wait() {
    let policy = Bulkhead::builder("user").limit(1).queue(1).max_wait(SECOND);
    let bulkheads = Registry::builder(move |_: &&str| policy.clone().build().unwrap());
    let bulkheads = bulkheads.build().unwrap();
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let registry = bulkheads.clone();
    let of = move |key: &&'static str| registry.get(key).layer();
    let mut waiting = mock::Spawn::new(KeyedLayer::new(of).layer(mock.clone()));
    let registry = bulkheads.clone();
    let of = move |key: &&'static str| registry.get(key).layer().without_queue();
    let mut rejecting = mock::Spawn::new(KeyedLayer::new(of).layer(mock));
    assert_ready_ok!(waiting.poll_ready());
    let mut first = spawn(waiting.call("ann"));
    assert_pending!(first.poll());
    assert_ready_ok!(waiting.poll_ready());
    let mut second = spawn(waiting.call("ann"));
    assert_pending!(second.poll());
    assert_ready_ok!(rejecting.poll_ready());
    let refused = assert_ready_err!(spawn(rejecting.call("ann")).poll());
    assert_eq!(refusal(&refused), &Rejected::bulkhead_full("user"));
    assert_ready_ok!(rejecting.poll_ready());
    let mut other = spawn(rejecting.call("bob"));
    assert_pending!(other.poll());
    answer!(upstream, "ann", Ok("one"));
    answer!(upstream, "bob", Ok("two"));
    assert_ready_ok!(other.poll());
    assert_ready_ok!(first.poll());
    assert_pending!(second.poll());
    answer!(upstream, "ann", Ok("three"));
    assert_eq!(assert_ready_ok!(second.poll()), "three");
    assert_eq!(bulkheads.evict_idle(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_of_a_key_learns_by_the_classifier_of_its_layer() {
    let policy = Adaptive::builder("host").initial(10).window(2, STEP);
    let limits = Registry::builder(move |_: &u32| policy.clone().build().unwrap());
    let limits = limits.build().unwrap();
    let registry = limits.clone();
    let of = move |key: &u32| {
        let judge = |result: Result<&u32, &BoxError>| match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure(Failure::Transient),
        };
        registry.get(key).layer().with_classifier(judge)
    };
    let service = KeyedLayer::new(of).layer(fails_for_odd());
    for _ in 0..4 {
        for key in [1, 2] {
            assert_eq!(service.clone().oneshot(key).await.is_ok(), key == 2);
        }
        advance(STEP).await;
    }
    assert!(limits.get(&1).limit() < 10);
    assert_eq!(limits.get(&2).limit(), 10);
}

/// Cannot be cloned, and panics when it is called without having been made ready.
#[derive(Debug, Default)]
struct Fussy {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl tower::Service<u32> for Fussy {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "not ready");
        self.calls.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_made_ready_is_called_and_need_not_be_cloned() {
    let each = limiter(Duration::ZERO);
    let limiters = Registry::builder(move |_: &u32| each.fresh());
    let limiters = limiters.build().unwrap();
    let policy = Breaker::builder("host");
    let breakers = Registry::builder(move |_: &u32| policy.clone().build().unwrap());
    let breakers = breakers.build().unwrap();
    let fussy = Fussy::default();
    let calls = Arc::clone(&fussy.calls);
    let behind_breakers = KeyedLayer::new(move |key: &u32| breakers.get(key).layer()).layer(fussy);
    let limited = KeyedLayer::new(move |key: &u32| limiters.get(key).layer());
    let mut service = limited.layer(behind_breakers);
    for key in [1, 1, 2, 1, 2, 2] {
        drop(service.ready().await.unwrap().call(key).await);
    }
    // Two of each key, as much as the burst.
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}
