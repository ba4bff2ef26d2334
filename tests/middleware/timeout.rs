use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::breaker::{Breaker, State};
use bowline::chaos::Chaos;
use bowline::config::Ratio;
use bowline::deadline::within;
use bowline::error::{BoxError, Rejected};
use bowline::fallback::Fallback;
use bowline::hedge::Hedge;
use bowline::timeout::{Config, Deadline, Timeout};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

type Answer = Result<(), BoxError>;

fn timeout() -> Timeout {
    Timeout::new(SECOND).expect("a fine policy")
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_late_fails_and_one_that_is_not_goes_on() {
    let (mock, _upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(timeout().layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    advance(SECOND - Duration::from_millis(1)).await;
    assert_pending!(call.poll());
    advance(Duration::from_millis(1)).await;
    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(SECOND));
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_the_same_instant_wins() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(timeout().layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    advance(SECOND).await;
    answer!(upstream, "hello", Ok("world"));
    assert_eq!(assert_ready_ok!(call.poll()), "world");

    let timeout = timeout();
    let both = timeout.call(|| async {
        sleep(SECOND).await;
        Ok::<_, BoxError>(7)
    });
    assert_eq!(both.await.unwrap(), 7);
}

/// Without a runtime there is no timer: asking for one would panic.
#[test]
fn an_answer_at_once_needs_no_timer() {
    let mut cx = Context::from_waker(Waker::noop());
    let at_once = service_fn(|()| ready(Ok::<_, BoxError>(7)));
    let layer = Deadline::new(SECOND).unwrap().layer();
    let mut service = layer.layer(timeout().layer().layer(at_once));
    let mut call = pin!(service.call(()));
    assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn the_readied_service_makes_the_call_and_need_not_be_cloned() {
    /// Panics when it is called without having been ready, and is no `Clone`.
    struct Strict(bool);

    impl tower::Service<()> for Strict {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Answer>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Answer> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called without being ready");
            ready(Ok(()))
        }
    }

    let mut service = ServiceBuilder::new()
        .layer(Deadline::new(SECOND).unwrap().layer())
        .layer(timeout().layer())
        .service(Strict(false));
    for _ in 0..3 {
        service.ready().await.unwrap().call(()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_holds_no_place_of_the_inner_service() {
    let places = Arc::new(Semaphore::new(1));
    let hung = service_fn(|()| pending::<Answer>());
    let limited = ConcurrencyLimit::with_semaphore(hung, Arc::clone(&places));
    let mut service = timeout().layer().layer(limited);
    let call = service.ready().await.unwrap().call(());
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(places.available_permits(), 0);
    advance(SECOND).await;
    assert!(assert_ready!(call.poll()).is_err());
    assert_eq!(places.available_permits(), 1);
    // The future, which has ended, is still there.
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_place_back() {
    let places = Arc::new(Semaphore::new(1));
    let hung = service_fn(|()| pending::<Answer>());
    let limited = ConcurrencyLimit::with_semaphore(hung, Arc::clone(&places));
    let mut service = timeout().layer().layer(limited);
    let call = service.ready().await.unwrap().call(());
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    drop(call);
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_attempt_and_deadline_ends_it_and_is_named() {
    let ends = |attempt: u32, total: u32| async move {
        let began = Instant::now();
        let attempt = Timeout::new(SECOND * attempt).unwrap();
        let seen = Cell::new(None);
        let call = within(SECOND * total, async {
            let error = attempt.call(pending::<Answer>).await.unwrap_err();
            seen.set(Some(refusal(&error).clone()));
            Err::<(), _>(error)
        });
        let error = call.await.unwrap_err();
        let ended = (refusal(&error).clone(), began.elapsed());
        (seen.into_inner(), ended)
    };
    let after = |seconds: u32| (Rejected::elapsed(SECOND * seconds), SECOND * seconds);
    let seen = |seconds: u32| Some(Rejected::elapsed(SECOND * seconds));
    assert_eq!(ends(2, 3).await, (seen(2), after(2)));
    assert_eq!(ends(2, 2).await, (seen(2), after(2)));
    // What stands between sees no end of the attempt: it is dropped.
    assert_eq!(ends(3, 2).await, (None, after(2)));
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_gets_what_is_left_of_the_deadline() {
    let began = Instant::now();
    let attempt = Timeout::new(2 * SECOND).unwrap();
    let call = within(3 * SECOND, async {
        let first = attempt.call(pending::<Answer>).await.unwrap_err();
        assert_eq!(*refusal(&first), Rejected::elapsed(2 * SECOND));
        attempt.call(pending::<Answer>).await
    });
    let second = call.await.unwrap_err();
    assert_eq!(*refusal(&second), Rejected::elapsed(3 * SECOND));
    assert_eq!(began.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_are_too_slow_trip_the_breaker_around_them() {
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(3)
        .build()
        .unwrap();
    let mut service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(timeout().layer())
        .service(service_fn(|()| pending::<Answer>()));
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::Closed);
        assert!(service.ready().await.unwrap().call(()).await.is_err());
    }
    assert_eq!(breaker.state(), State::Open);

    // Outside of it the calls are dropped unseen, which the default rule does not count.
    breaker.reset();
    let hung = breaker.layer().layer(service_fn(|()| pending::<Answer>()));
    let mut service = timeout().layer().layer(hung);
    for _ in 0..3 {
        assert!(service.ready().await.unwrap().call(()).await.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
}

/// Calls a service that takes so long, through a breaker between a deadline and a timeout.
async fn call_hurried(breaker: &Breaker, deadline: Duration, takes: Duration) -> Answer {
    let slow = service_fn(move |()| async move {
        sleep(takes).await;
        Ok(())
    });
    ServiceBuilder::new()
        .layer(Deadline::new(deadline).unwrap().layer())
        .layer(breaker.layer())
        .layer(timeout().layer())
        .service(slow)
        .oneshot(())
        .await
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_hurry_opens_the_breaker_for_nobody() {
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.build().unwrap();
    let (hurry, takes) = (Duration::from_millis(1), Duration::from_millis(20));
    for _ in 0..100 {
        let error = call_hurried(&breaker, hurry, takes).await.unwrap_err();
        assert_eq!(*refusal(&error), Rejected::elapsed(hurry));
    }
    let seen = breaker.snapshot();
    assert_eq!((seen.state, seen.failures), (State::Closed, 0));
    call_hurried(&breaker, SECOND, takes).await.unwrap();

    // The service's own time was up, at the same instant as the caller's: it was too slow.
    let error = call_hurried(&breaker, SECOND, 2 * SECOND).await;
    assert_eq!(*refusal(&error.unwrap_err()), Rejected::elapsed(SECOND));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_in_a_hurry_neither_opens_nor_closes_and_gives_its_place_back() {
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .probes(1)
        .open_for(Backoff::constant(SECOND).jitter(Jitter::None))
        .build()
        .unwrap();
    let takes = Duration::from_millis(20);
    let error = call_hurried(&breaker, SECOND, 2 * SECOND).await;
    assert!(error.is_err());
    advance(SECOND).await;
    for _ in 0..10 {
        let hurry = Duration::from_millis(1);
        let error = call_hurried(&breaker, hurry, takes).await.unwrap_err();
        assert_eq!(*refusal(&error), Rejected::elapsed(hurry));
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    call_hurried(&breaker, SECOND, takes).await.unwrap();
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn who_waited_longer_than_a_slow_call_takes_was_in_no_hurry() {
    let slow = Duration::from_millis(500);
    let breaker = Breaker::builder("upstream")
        .consecutive_failures(1)
        .slow_calls(Ratio::ONE, slow)
        .build()
        .unwrap();
    let before = slow - Duration::from_millis(1);
    assert!(call_hurried(&breaker, before, SECOND).await.is_err());
    assert_eq!(breaker.state(), State::Closed);
    assert!(call_hurried(&breaker, slow, SECOND).await.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_around_the_deadline_sees_that_it_was_reached() {
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.build().unwrap();
    let service = ServiceBuilder::new()
        .layer(breaker.layer())
        .layer(Deadline::new(SECOND).unwrap().layer())
        .layer(Timeout::new(5 * SECOND).unwrap().layer())
        .service(service_fn(|()| pending::<Answer>()));
    assert!(service.oneshot(()).await.is_err());
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn another_limit_holds_for_the_calls_that_all_make_from_then_on() {
    let took = |call: BoxFuture| async move {
        let began = Instant::now();
        let error = call.await.unwrap_err();
        assert_eq!(*refusal(&error), Rejected::elapsed(began.elapsed()));
        began.elapsed()
    };
    type BoxFuture = Pin<Box<dyn Future<Output = Answer>>>;
    let hung = service_fn(|()| pending::<Answer>());
    let (attempt, whole) = (timeout(), Deadline::new(SECOND).unwrap());
    let mut timed = attempt.clone().layer().layer(hung);
    let mut bounded = whole.clone().layer().layer(hung);
    let before: [BoxFuture; 2] = [Box::pin(timed.call(())), Box::pin(bounded.call(()))];
    attempt.reconfigure(Config::new(2 * SECOND)).unwrap();
    whole.reconfigure(Config::new(3 * SECOND)).unwrap();
    for call in before {
        assert_eq!(took(call).await, SECOND);
    }
    assert_eq!(took(Box::pin(timed.call(()))).await, 2 * SECOND);
    assert_eq!(took(Box::pin(bounded.call(()))).await, 3 * SECOND);
    let by_hand = (attempt.clone(), whole.clone());
    let call = async move { by_hand.0.call(pending::<Answer>).await };
    assert_eq!(took(Box::pin(call)).await, 2 * SECOND);
    let call = async move { by_hand.1.call(pending::<Answer>).await };
    assert_eq!(took(Box::pin(call)).await, 3 * SECOND);

    let refused = attempt.reconfigure(Config::new(Duration::ZERO));
    assert_eq!(refused.unwrap_err().problems()[0].field, "limit");
    assert!(whole.reconfigure(Config::new(Duration::MAX)).is_err());
    assert_eq!(attempt.config(), Config::new(2 * SECOND));
    assert_eq!(whole.config(), Config::new(3 * SECOND));

    let named = Timeout::named("upstream", SECOND).unwrap();
    assert_eq!(
        (&**attempt.name(), &**named.name()),
        ("timeout", "upstream")
    );
}

#[tokio::test(start_paused = true)]
async fn each_request_may_have_its_own_limit() {
    let hung = service_fn(|_: Option<Duration>| pending::<Answer>());
    let own = |request: &Option<Duration>| *request;
    let service = timeout().layer().with_limits(own).layer(hung);
    for (request, limit) in [
        (Some(5 * SECOND), 5 * SECOND),
        (None, SECOND),
        (Some(Duration::ZERO), Duration::ZERO),
    ] {
        let error = service.clone().oneshot(request).await.unwrap_err();
        assert_eq!(*refusal(&error), Rejected::elapsed(limit));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_does_not_spin() {
    let polls = AtomicU32::new(0);
    let hung = poll_fn(|_| {
        polls.fetch_add(1, Ordering::SeqCst);
        Poll::<Answer>::Pending
    });
    let at_once = |_: &()| Some(Duration::ZERO);
    let mut once = Some(hung);
    let inner = service_fn(move |()| once.take().unwrap());
    let service = timeout().layer().with_limits(at_once).layer(inner);
    assert!(service.oneshot(()).await.is_err());
    assert!(polls.load(Ordering::SeqCst) < 3);
}

#[tokio::test(start_paused = true)]
async fn the_timer_fires_also_while_the_call_is_always_busy() {
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let busy = async move {
        loop {
            // Always ready until the task's budget is spent; then it is woken at once.
            send.send(()).unwrap();
            receive.recv().await.unwrap();
            if deadline_has_long_passed() {
                return Ok::<_, BoxError>("too late");
            }
        }
    };
    let began = Instant::now();
    let clock = tokio::spawn(async move {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            advance(SECOND / 10).await;
        }
    });
    POLLS.with(|polls| polls.set(0));
    let error = timeout().call(|| busy).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(SECOND));
    assert!(began.elapsed() < 2 * SECOND);
    clock.await.unwrap();
}

thread_local! {
    static POLLS: Cell<u32> = const { Cell::new(0) };
}

/// Ends a test that would go on for ever if the timer never fired.
fn deadline_has_long_passed() -> bool {
    POLLS.with(|polls| polls.replace(polls.get() + 1) > 1_000_000)
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_call_goes_on_and_frees_its_place() {
    let places = Arc::new(Semaphore::new(1));
    let buggy = service_fn(|()| async { buggy() });
    let limited = ConcurrencyLimit::with_semaphore(buggy, Arc::clone(&places));
    let mut service = timeout().layer().layer(limited);
    let mut call = Box::pin(service.ready().await.unwrap().call(()));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(&mut cx)));
    assert!(polled.is_err());
    drop(call);
    assert_eq!(places.available_permits(), 1);
}

fn buggy() -> Answer {
    panic!("a bug");
}

#[test]
fn a_limit_of_zero_is_refused_by_name() {
    for refused in [
        Timeout::new(Duration::ZERO).err(),
        Deadline::new(Duration::ZERO).err(),
    ] {
        assert_eq!(refused.unwrap().problems()[0].field, "limit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_all_of_them_can_be_spawned() {
    let chaos = Chaos::builder("upstream").build().unwrap();
    let hedge = Hedge::builder("upstream").build().unwrap();
    let service = ServiceBuilder::new()
        .layer(Fallback::value("upstream", "instead").layer())
        .layer(Deadline::new(5 * SECOND).unwrap().layer())
        .layer(hedge.layer())
        .layer(timeout().layer())
        .layer(chaos.layer())
        .service(service_fn(|()| pending::<Result<_, BoxError>>()));
    let began = Instant::now();
    let answer = tokio::spawn(service.oneshot(())).await.unwrap();
    assert_eq!(answer.unwrap(), "instead");
    // The first attempt, and the hedge that its failure begins.
    assert_eq!(began.elapsed(), 2 * SECOND);
    assert_eq!(hedge.snapshot().started, 1);
}
