use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::budget::RetryBudget;
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use bowline::error::{BoxError, Rejected};
use bowline::hedge::{Budget, Builder, Delay, Hedge};
use bowline::retry::Retry;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

type Answer = Result<u32, BoxError>;

/// A second for each attempt, two of them.
fn policy() -> Builder {
    Hedge::builder("upstream").delay(Delay::fixed(SECOND))
}

fn hedge() -> Hedge {
    policy().build().expect("a fine policy")
}

/// As many attempts as it holds; a success pays for nothing.
#[derive(Clone)]
struct Purse(Arc<AtomicI32>, Arc<AtomicU32>);

impl Purse {
    fn of(attempts: i32) -> Self {
        Self(Arc::new(AtomicI32::new(attempts)), Arc::default())
    }
}

impl Budget for Purse {
    fn deposit(&self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }

    fn try_withdraw(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) > 0
    }
}

async fn after<T>(seconds: u32, result: T) -> T {
    sleep(SECOND * seconds).await;
    result
}

fn down(attempt: u32) -> Answer {
    Err(format!("attempt {attempt} is down").into())
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_hedged_after_the_delay_and_the_first_answer_wins() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let hedge = hedge();
    let mut service = mock::Spawn::new(hedge.layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    let (_, first) = upstream.next_request().await.unwrap();
    advance(SECOND - Duration::from_millis(1)).await;
    assert_pending!(call.poll());
    assert_eq!(hedge.snapshot().started, 0);
    advance(Duration::from_millis(1)).await;
    assert_pending!(call.poll());
    assert_eq!(hedge.snapshot().started, 1);
    answer!(upstream, "hello", Ok("second"));
    assert_eq!(assert_ready_ok!(call.poll()), "second");
    assert_eq!(hedge.snapshot().won, 1);
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn losers_are_dropped_before_the_answer_is_returned() {
    let running = Arc::new(());
    let holds = Arc::clone(&running);
    let begun = Arc::new(AtomicU32::new(0));
    let slow = service_fn(move |()| {
        let holds = Arc::clone(&holds);
        let attempt = begun.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let _holds = holds;
            after(if attempt == 3 { 1 } else { 60 }, Answer::Ok(attempt)).await
        }
    });
    let hedge = policy().attempts(3).build().unwrap();
    let mut service = hedge.layer().layer(slow);
    let mut call = tokio_test::task::spawn(service.call(()));
    let idle = Arc::strong_count(&running) - 1;
    drop(service);
    for begun in 1..=3 {
        assert_pending!(call.poll());
        assert_eq!(hedge.snapshot().started + 1, begun);
        advance(SECOND).await;
    }
    assert!(Arc::strong_count(&running) > idle);
    assert_eq!(assert_ready_ok!(call.poll()), 3);
    // The future, which has ended, is still there.
    assert_eq!(Arc::strong_count(&running), 1);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_drops_all_its_attempts() {
    let running = Arc::new(());
    let holds = Arc::clone(&running);
    let hedge = hedge();
    let slow = service_fn(move |()| {
        let holds = Arc::clone(&holds);
        poll_fn(move |_| {
            let _ = &holds;
            Poll::<Answer>::Pending
        })
    });
    let call = hedge.layer().layer(slow).oneshot(());
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert_pending!(call.poll());
    let both = Arc::strong_count(&running);
    drop(call);
    assert!(both > 2);
    assert_eq!(Arc::strong_count(&running), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_begins_the_next_attempt_at_once() {
    let began = Instant::now();
    let hedge = policy().attempts(3).build().unwrap();
    let answer = hedge.run(|attempt| {
        ready(if attempt < 3 {
            down(attempt)
        } else {
            Ok(attempt)
        })
    });
    assert_eq!(answer.await.unwrap(), 3);
    assert_eq!(began.elapsed(), Duration::ZERO);

    // Also that of a hedge, while the first attempt goes on.
    let answer = hedge.run(|attempt| async move {
        match attempt {
            1 => pending().await,
            2 => down(2),
            _ => Ok(3),
        }
    });
    assert_eq!(answer.await.unwrap(), 3);
    assert_eq!(began.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_ends_it_whichever_attempt_it_is_of() {
    let permanent = |result: Result<&u32, &BoxError>| match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure(Failure::Permanent),
    };
    let hedge = hedge();
    let error = hedge.run_with(&permanent, |attempt| ready(down(attempt)));
    assert_eq!(error.await.unwrap_err().to_string(), "attempt 1 is down");
    assert_eq!(hedge.snapshot().started, 0);
    let error = hedge.run_with(&permanent, |attempt| async move {
        if attempt == 1 {
            pending().await
        } else {
            down(2)
        }
    });
    assert_eq!(error.await.unwrap_err().to_string(), "attempt 2 is down");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_attempt_begins_no_further_one() {
    let throttled = |result: Result<&u32, &BoxError>| match result {
        Ok(_) => Outcome::Success,
        Err(_) => Outcome::Failure(Failure::Throttled { retry_after: None }),
    };
    let hedge = policy().attempts(3).build().unwrap();
    let error = hedge.run_with(&throttled, |attempt| ready(down(attempt)));
    assert!(error.await.is_err());
    assert_eq!(hedge.snapshot().started, 0);
    // The first one, which runs, may still win.
    let won = hedge.run_with(&throttled, |attempt| async move {
        if attempt == 1 {
            after(30, Ok(1)).await
        } else {
            down(attempt)
        }
    });
    assert_eq!(won.await.unwrap(), 1);
    assert_eq!(hedge.snapshot().started, 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_error_is_that_of_the_first_attempt() {
    let hedge = policy().attempts(3).build().unwrap();
    let began = Instant::now();
    let error = hedge.run(|attempt| after(if attempt == 1 { 9 } else { 1 }, down(attempt)));
    assert_eq!(error.await.unwrap_err().to_string(), "attempt 1 is down");
    assert_eq!(began.elapsed(), 9 * SECOND);
    let error = hedge.run(|attempt| after(if attempt == 1 { 0 } else { 5 }, down(attempt)));
    assert_eq!(error.await.unwrap_err().to_string(), "attempt 1 is down");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_does_not_fail_the_first_attempt() {
    let purse = Purse::of(0);
    let hedge = policy().attempts(4).budget(purse.clone()).build().unwrap();
    let answer = hedge.run(|attempt| after(30, Ok::<_, BoxError>(attempt)));
    assert_eq!(answer.await.unwrap(), 1);
    let snapshot = hedge.snapshot();
    assert_eq!((snapshot.started, snapshot.refused), (0, 1));
    assert_eq!(purse.1.load(Ordering::SeqCst), 1, "the success pays in");
    // Nor is its error replaced.
    let error = hedge.run(|attempt| ready(down(attempt))).await;
    assert_eq!(error.unwrap_err().to_string(), "attempt 1 is down");
    assert_eq!(purse.1.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn each_hedge_is_paid_for() {
    let hedge = policy().attempts(4).budget(Purse::of(2)).build().unwrap();
    let error = hedge.run(|attempt| ready(down(attempt))).await;
    assert!(error.is_err());
    let snapshot = hedge.snapshot();
    assert_eq!((snapshot.started, snapshot.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_refused_inside_does_not_fail_the_first_attempt() {
    let hedge = policy().attempts(3).build().unwrap();
    let answer = hedge.run(|attempt| async move {
        if attempt == 1 {
            return after(5, Ok(1)).await;
        }
        Err(BoxError::from(Rejected::bulkhead_full("inner")))
    });
    assert_eq!(answer.await.unwrap(), 1);
    assert_eq!(hedge.snapshot().started, 1);
    // The refusal of the first attempt is returned as it is.
    let refused = hedge.run(|_| ready(Answer::Err(Rejected::bulkhead_full("inner").into())));
    let error = refused.await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::bulkhead_full("inner"));
    assert_eq!(hedge.snapshot().started, 1);
}

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

/// Without a runtime there is no timer: asking for one would panic.
#[test]
fn an_answer_at_once_needs_no_timer() {
    for hedge in [hedge(), Hedge::builder("default").build().unwrap()] {
        let mut run = pin!(hedge.run(|attempt| ready(Ok::<_, BoxError>(attempt))));
        let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(1))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_zero_begins_all_together_and_does_not_spin() {
    let polls = AtomicU32::new(0);
    let hedge = policy()
        .delay(Delay::fixed(Duration::ZERO))
        .attempts(4)
        .build()
        .unwrap();
    let run = hedge.run(|_| {
        poll_fn(|_| {
            polls.fetch_add(1, Ordering::SeqCst);
            Poll::<Answer>::Pending
        })
    });
    let began = Instant::now();
    let mut run = pin!(run);
    let waited = tokio::time::timeout(60 * SECOND, run.as_mut()).await;
    assert!(waited.is_err());
    assert_eq!(hedge.snapshot().started, 3);
    assert!(polls.load(Ordering::SeqCst) < 40, "{polls:?}");
    assert!(began.elapsed() <= 61 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_attempt_goes_on() {
    let hedge = hedge();
    let mut run = Box::pin(hedge.run(|_| async { buggy() }));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(&mut cx)));
    assert!(polled.is_err());
}

fn buggy() -> Answer {
    panic!("a bug");
}

fn percentile(share: Ratio) -> Hedge {
    let delay = Delay::percentile(share, 10 * SECOND);
    policy().delay(delay).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_waits_the_initial_delay_until_enough_calls_are_known() {
    let hedge = percentile(Ratio::HALF);
    for _ in 0..99 {
        hedge.run(|_| after(2, Answer::Ok(1))).await.unwrap();
        assert_eq!(hedge.snapshot().delay, 10 * SECOND);
    }
    hedge.run(|_| after(2, Answer::Ok(1))).await.unwrap();
    let delay = hedge.snapshot().delay;
    assert!(
        (2 * SECOND..2 * SECOND + SECOND / 8).contains(&delay),
        "{delay:?}"
    );
    assert_eq!(hedge.snapshot().started, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_at_once_leave_a_millisecond() {
    let hedge = percentile(Ratio::HALF);
    for _ in 0..100 {
        hedge.run(|_| ready(Answer::Ok(1))).await.unwrap();
    }
    assert_eq!(hedge.snapshot().delay, Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn dropped_and_failed_calls_are_not_measured() {
    let hedge = percentile(Ratio::HALF);
    for _ in 0..300 {
        let mut run = tokio_test::task::spawn(hedge.run(|_| after(1, Answer::Ok(1))));
        assert_pending!(run.poll());
        drop(run);
        assert!(hedge.run(|_| ready(down(1))).await.is_err());
        // Won after the first attempt failed: its time is that of the failure.
        let won = hedge.run(|n| ready(if n == 1 { down(1) } else { Ok(2) }));
        assert_eq!(won.await.unwrap(), 2);
    }
    assert_eq!(hedge.snapshot().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn hedges_that_win_do_not_pull_the_percentile_down() {
    let hedge = percentile(Ratio::percent(90));
    let millis = |n: u64| Duration::from_millis(n);
    // One call in ten takes seconds; all hedges answer at once.
    let mut slow = shuffled();
    let mut calls = async |n: u32| {
        let before = hedge.snapshot().started;
        for _ in 0..n {
            let draw = slow();
            let first = if draw < 100 {
                millis(5_000)
            } else {
                millis(draw)
            };
            let run = hedge.run(|attempt| async move {
                sleep(if attempt == 1 { first } else { millis(1) }).await;
                Ok::<_, BoxError>(attempt)
            });
            run.await.unwrap();
        }
        hedge.snapshot().started - before
    };
    calls(1_000).await;
    let hedged = calls(5_000).await;
    // A tenth of the calls, and no more of them from one thousand to the next.
    assert!((300..700).contains(&hedged), "{hedged} of 5000");
    let delay = hedge.snapshot().delay;
    assert!(delay > millis(900), "{delay:?}");
}

/// Numbers from 0 to 999, all equally often, in no order.
fn shuffled() -> impl FnMut() -> u64 {
    let mut n = 0;
    move || {
        n += 1;
        (n * 617) % 1_000
    }
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

#[test]
fn nonsense_is_refused_by_name() {
    let refused = Hedge::builder("upstream").attempts(0).build().unwrap_err();
    assert_eq!(refused.problems()[0].field, "attempts");
}

#[tokio::test(start_paused = true)]
async fn a_budget_shared_with_retries_bounds_both_and_is_paid_into_once() {
    let budget = RetryBudget::builder("both").ratio(0.1).floor(0);
    let budget = budget.build().unwrap();
    let retry = Retry::builder().budget(budget.clone()).build().unwrap();
    let hedge = policy().shared_budget(budget.clone()).build().unwrap();
    while budget.try_withdraw() {}
    let attempts = AtomicU32::new(0);
    let slow = |_| {
        attempts.fetch_add(1, Ordering::SeqCst);
        after(3, Ok::<_, BoxError>(7))
    };
    assert_eq!(retry.run(|_| hedge.run(slow)).await.unwrap(), 7);
    assert_eq!((attempts.into_inner(), hedge.snapshot().refused), (1, 1));
    // Ten calls pay for one further attempt, not for two.
    for _ in 0..9 {
        let quick = retry.run(|_| hedge.run(|_| ready(Ok::<_, BoxError>(7))));
        quick.await.unwrap();
    }
    assert!(budget.try_withdraw());
    assert!(!budget.try_withdraw());
}
