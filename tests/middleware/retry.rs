use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::classify::{Failure, Outcome};
use bowline::error::{BoxError, Rejected};
use bowline::retry::{Builder, Retry};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::Layer;
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

/// A second between attempts, three of them, ten seconds in all.
fn policy() -> Builder {
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
}

fn retry() -> Retry {
    policy().build().expect("a fine policy")
}

fn spawn(
    retry: &Retry,
) -> (
    mock::Spawn<
        impl tower::Service<&'static str, Response = &'static str, Error = BoxError, Future: Send>
        + Clone
        + use<>,
    >,
    Upstream,
) {
    let (mock, upstream): (Service, Upstream) = mock::pair();
    (mock::Spawn::new(retry.layer().layer(mock)), upstream)
}

#[tokio::test(start_paused = true)]
async fn it_tries_again_after_the_wait_and_returns_the_last_error() {
    let (mut service, mut upstream) = spawn(&retry());
    assert_ready_ok!(service.poll_ready());
    let began = Instant::now();
    let call = tokio::spawn(service.call("hello"));
    for attempt in 0..3u32 {
        answer!(
            upstream,
            "hello",
            Err(["one", "two", "three"][attempt as usize])
        );
        assert_eq!(began.elapsed().as_secs(), u64::from(attempt));
    }
    assert_eq!(call.await.unwrap().unwrap_err().to_string(), "three");
}

#[tokio::test(start_paused = true)]
async fn a_success_and_a_permanent_failure_end_it() {
    let retry = retry();
    let (mut service, mut upstream) = spawn(&retry);
    assert_ready_ok!(service.poll_ready());
    let call = tokio::spawn(service.call("hello"));
    answer!(upstream, "hello", Err("down"));
    answer!(upstream, "hello", Ok("world"));
    assert_eq!(call.await.unwrap().unwrap(), "world");

    let calls = AtomicU32::new(0);
    let permanent = |_: Result<&(), &BoxError>| Outcome::Failure(Failure::Permanent);
    let failed = retry.run_with(&permanent, |_| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), BoxError>("no".into()) }
    });
    assert!(failed.await.is_err());
    assert_eq!(calls.into_inner(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_fires_late_begins_no_attempt_after_the_deadline() {
    let (mut service, mut upstream) = spawn(&retry());
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    answer!(upstream, "hello", Err("down"));
    assert_pending!(call.poll());
    // As if the process had been stopped: the wait of a second and the deadline have passed.
    advance(11 * SECOND).await;
    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "down");
    let mut asked = tokio_test::task::spawn(upstream.next_request());
    assert_pending!(asked.poll());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_get_ready_in_time_leaves_the_last_error() {
    let (mut service, mut upstream) = spawn(&retry());
    upstream.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    answer!(upstream, "hello", Err("down"));
    assert_pending!(call.poll());
    for _ in 0..9 {
        advance(SECOND).await;
        assert_pending!(call.poll());
    }
    advance(SECOND).await;
    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "down");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_get_ready_again_leaves_the_last_error() {
    let policy = retry();
    let (mut service, mut upstream) = spawn(&policy);
    upstream.allow(1);
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    answer!(upstream, "hello", Err("down"));
    assert_pending!(call.poll());
    upstream.send_error("gone");
    advance(SECOND).await;
    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "down");
    assert_eq!(policy.snapshot().given_up, 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_an_attempt_that_is_running() {
    let (mut service, _upstream) = spawn(&retry());
    assert_ready_ok!(service.poll_ready());
    let began = Instant::now();
    let error = service.call("hello").await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(10 * SECOND));
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_end_after_the_deadline_is_not_begun() {
    let began = Instant::now();
    let throttled = |_: Result<&(), &BoxError>| {
        let retry_after = Some(Duration::from_secs(60));
        Outcome::Failure(Failure::Throttled { retry_after })
    };
    let retry = retry();
    let failed = retry.run_with(&throttled, |_| async { Err::<(), BoxError>("busy".into()) });
    assert_eq!(failed.await.unwrap_err().to_string(), "busy");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_more_time_gets_it() {
    let began = Instant::now();
    let throttled = |_: Result<&(), &BoxError>| {
        let retry_after = Some(4 * SECOND);
        Outcome::Failure(Failure::Throttled { retry_after })
    };
    let retry = retry();
    let run = retry.run_with(&throttled, |_| async { Err::<(), BoxError>("busy".into()) });
    assert!(run.await.is_err());
    assert_eq!(began.elapsed(), 8 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_twice_goes_once() {
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let once = |_: &&'static str| None;
    let layer = retry().layer().with_requests(once);
    let mut service = mock::Spawn::new(layer.layer(mock));
    assert_ready_ok!(service.poll_ready());
    let call = tokio::spawn(service.call("hello"));
    answer!(upstream, "hello", Err("down"));
    assert_eq!(call.await.unwrap().unwrap_err().to_string(), "down");
}

#[tokio::test(start_paused = true)]
async fn dropped_it_makes_no_further_attempt() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let retry = retry();
    let run = retry.run(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Err::<(), BoxError>("down".into()) }
    });
    let mut run = tokio_test::task::spawn(run);
    assert_pending!(run.poll());
    drop(run);
    sleep(60 * SECOND).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Without a runtime there is no timer: asking for one would panic.
#[test]
fn an_answer_at_once_needs_no_timer() {
    let retry = retry();
    let mut run = pin!(retry.run(|_| async { Ok::<_, BoxError>(7) }));
    let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_number() {
    let seen = std::sync::Mutex::new(Vec::new());
    let retry = retry();
    let run = retry.run(|attempt| {
        seen.lock().unwrap().push(attempt);
        async { Err::<(), BoxError>("down".into()) }
    });
    assert!(run.await.is_err());
    assert_eq!(seen.into_inner().unwrap(), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_ready_service_is_not_needed_to_wait_for() {
    let (mut service, mut upstream) = spawn(&policy().attempts(1).build().unwrap());
    assert_ready_ok!(service.poll_ready());
    let mut call = tokio_test::task::spawn(service.call("hello"));
    assert_pending!(call.poll());
    answer!(upstream, "hello", Err("down"));
    assert!(assert_ready!(call.poll()).is_err());
}
