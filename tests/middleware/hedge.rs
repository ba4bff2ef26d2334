//! Which attempts of a hedge begin, and which one wins.

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::classify::{Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::hedge::{Builder, Delay, Hedge};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

pub(super) type Answer = Result<u32, BoxError>;

/// A second for each attempt, two of them.
pub(super) fn policy() -> Builder {
    Hedge::builder("upstream").delay(Delay::fixed(SECOND))
}

pub(super) fn hedge() -> Hedge {
    policy().build().expect("a fine policy")
}

pub(super) async fn after<T>(seconds: u32, result: T) -> T {
    sleep(SECOND * seconds).await;
    result
}

pub(super) fn down(attempt: u32) -> Answer {
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

#[test]
fn nonsense_is_refused_by_name() {
    let refused = Hedge::builder("upstream").attempts(0).build().unwrap_err();
    assert_eq!(refused.problems()[0].field, "attempts");
}
