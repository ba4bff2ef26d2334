use std::cell::RefCell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::bulkhead::Bulkhead;
use bowline::deadline::{self, within};
use bowline::error::{BoxError, Rejected};
use bowline::rate::{Rate, RateLimiter};
use bowline::retry::Retry;
use bowline::timeout::{Deadline, Timeout};
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready_err};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::{SECOND, refusal};

type Answer = Result<(), BoxError>;

/// What is seen inside at each poll.
fn seen() -> (
    Arc<Mutex<Vec<Option<Instant>>>>,
    impl Future<Output = Answer>,
) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let looks = poll_fn(move |_| {
        sees.lock().unwrap().push(deadline::current());
        Poll::Pending
    });
    (seen, looks)
}

#[tokio::test(start_paused = true)]
async fn it_is_seen_inside_and_nowhere_else() {
    assert_eq!(deadline::current(), None);
    let began = Instant::now();
    let (seen, looks) = seen();
    let mut call = tokio_test::task::spawn(within(3 * SECOND, looks));
    assert_pending!(call.poll());
    assert_eq!(deadline::current(), None);
    advance(SECOND).await;
    assert_pending!(call.poll());
    assert_eq!(deadline::remaining(), None);
    assert_eq!(*seen.lock().unwrap(), [Some(began + 3 * SECOND); 2]);
}

#[tokio::test(start_paused = true)]
async fn what_is_inside_another_one_has_the_earlier_of_both() {
    let left = |outer: Duration, inner: Duration| async move {
        let look = async { Ok::<_, BoxError>(deadline::remaining()) };
        within(outer, within(inner, look)).await.unwrap()
    };
    assert_eq!(left(3 * SECOND, SECOND).await, Some(SECOND));
    assert_eq!(left(SECOND, 3 * SECOND).await, Some(SECOND));

    // The outer one has been running when the inner one begins.
    let late = within(5 * SECOND, async {
        sleep(3 * SECOND).await;
        within(4 * SECOND, async {
            Ok::<_, BoxError>(deadline::remaining())
        })
        .await
    });
    assert_eq!(late.await.unwrap(), Some(2 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_outer_one_goes_on_when_the_inner_one_has_ended() {
    let began = Instant::now();
    let call = within(10 * SECOND, async {
        let inner = within(SECOND, pending::<Answer>()).await.unwrap_err();
        assert_eq!(*refusal(&inner), Rejected::elapsed(SECOND));
        assert_eq!(deadline::current(), Some(began + 10 * SECOND));
        pending::<Answer>().await
    });
    let error = call.await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(10 * SECOND));
    assert_eq!(began.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn asked_by_the_inner_one_the_outer_one_counts_from_then_as_well() {
    let began = Instant::now();
    let mut asked = false;
    let asks = poll_fn(move |_| {
        if !std::mem::replace(&mut asked, true) {
            assert_eq!(deadline::current(), Some(began + 2 * SECOND));
        }
        Poll::<Answer>::Pending
    });
    let call = within(3 * SECOND, within(2 * SECOND, asks));
    assert_eq!(
        *refusal(&call.await.unwrap_err()),
        Rejected::elapsed(2 * SECOND)
    );
    assert_eq!(began.elapsed(), 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_inner_one_that_has_ended_leaves_behind_when_it_was_asked() {
    let began = Instant::now();
    let call = within(10 * SECOND, async {
        let inner = within(SECOND, async { Ok::<_, BoxError>(deadline::current()) });
        assert_eq!(inner.await.unwrap(), Some(began + SECOND));
        // The clock moves before the outer call has waited for the first time.
        advance(SECOND).await;
        Ok::<_, BoxError>(deadline::current())
    });
    assert_eq!(call.await.unwrap(), Some(began + 10 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_panic_inside_leaves_no_deadline_behind() {
    let mut buggy = pin!(within(SECOND, async {
        let inner = within(SECOND / 2, async {
            assert!(deadline::current().is_some());
            buggy()
        });
        inner.await
    }));
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| buggy.as_mut().poll(&mut cx)));
    assert!(polled.is_err());
    assert_eq!(deadline::current(), None);
}

fn buggy() -> Answer {
    panic!("a bug");
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_its_call_from_thread_to_thread() {
    let (seen, looks) = seen();
    let mut call = Box::pin(within(SECOND, looks));
    let handle = tokio::runtime::Handle::current();
    for _ in 0..3 {
        let handle = handle.clone();
        let moved = std::thread::spawn(move || {
            let _runtime = handle.enter();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(call.as_mut().poll(&mut cx).is_pending());
            assert_eq!(deadline::current(), None);
            call
        });
        call = moved.join().unwrap();
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|end| *end == seen[0] && end.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_task_of_its_own_has_none() {
    let call = within(SECOND, async {
        let spawned = tokio::spawn(async { deadline::current() });
        Ok::<_, BoxError>(spawned.await.unwrap())
    });
    assert_eq!(call.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_a_local_set_that_a_call_drives_does_not_see_its_deadline() {
    let local = LocalSet::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sees = Rc::clone(&seen);
    let other = local.spawn_local(async move {
        sees.borrow_mut().push(deadline::current());
        tokio::task::yield_now().await;
        // One of its own is not cut short by the other either, nor tells it when it was asked.
        let own = async { Ok::<_, BoxError>(deadline::remaining()) };
        sees.borrow_mut().push(deadline::current());
        within(5 * SECOND, own).await.unwrap()
    });
    let began = Instant::now();
    let call = within(SECOND, async {
        let left = local.run_until(async {
            let left = other.await.unwrap();
            advance(SECOND / 2).await;
            left
        });
        Ok::<_, BoxError>((left.await, deadline::current()))
    });
    let (left, own) = call.await.unwrap();
    assert_eq!(left, Some(5 * SECOND));
    assert_eq!(own, Some(began + SECOND));
    assert_eq!(*seen.borrow(), [None; 2]);
    assert_eq!(deadline::current(), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_waits_for_in_its_own_task_sees_its_deadline() {
    let call = within(SECOND, async {
        let local = LocalSet::new();
        let driven = local.run_until(async { deadline::remaining() }).await;
        let joined = tokio::join!(async { deadline::remaining() }, async {});
        Ok::<_, BoxError>([driven, joined.0])
    });
    assert_eq!(call.await.unwrap(), [Some(SECOND); 2]);
}

/// Without a runtime there is no timer: asking for one would panic.
#[test]
fn an_answer_at_once_needs_no_timer() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = pin!(within(SECOND, ready(Ok::<_, BoxError>(7))));
    assert!(matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_drops_what_does_not_answer_at_once() {
    let at_once = within(Duration::ZERO, ready(Ok::<_, BoxError>(7)));
    assert_eq!(at_once.await.unwrap(), 7);
    let began = Instant::now();
    let (seen, looks) = seen();
    let error = within(Duration::ZERO, looks).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(Duration::ZERO));
    assert!(seen.lock().unwrap().len() <= 2, "it does not spin");
    assert!(began.elapsed() <= Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_too_long() {
    let mut call = tokio_test::task::spawn(within(Duration::MAX, pending::<Answer>()));
    assert_pending!(call.poll());
    advance(1_000_000 * SECOND).await;
    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn the_layer_tells_the_call_itself_and_counts_from_then() {
    let asked = service_fn(|()| {
        let at_call = deadline::current().unwrap();
        poll_fn(move |_| {
            assert_eq!(deadline::current(), Some(at_call));
            Poll::Ready(Ok::<_, BoxError>(at_call))
        })
    });
    let began = Instant::now();
    let service = Deadline::new(SECOND).unwrap().layer().layer(asked);
    assert_eq!(service.oneshot(()).await.unwrap(), began + SECOND);
    assert_eq!(deadline::current(), None);
}

#[tokio::test(start_paused = true)]
async fn each_request_may_have_its_own() {
    let look = service_fn(|_: u64| ready(Ok::<_, BoxError>(deadline::remaining())));
    let of_request =
        |seconds: &u64| (*seconds > 0).then(|| SECOND * u32::try_from(*seconds).unwrap());
    let layer = Deadline::new(9 * SECOND).unwrap().layer();
    let service = layer.with_limits(of_request).layer(look);
    assert_eq!(service.clone().oneshot(2).await.unwrap(), Some(2 * SECOND));
    assert_eq!(service.oneshot(0).await.unwrap(), Some(9 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_total_deadline_beats_the_retries() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let counted = Arc::clone(&asked);
    let began = Instant::now();
    let slow = service_fn(move |()| {
        counted.lock().unwrap().push(began.elapsed());
        pending::<Answer>()
    });
    let retry = Retry::builder()
        .attempts(100)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(3_600 * SECOND)
        .build()
        .unwrap();
    let service = ServiceBuilder::new()
        .layer(Deadline::new(10 * SECOND).unwrap().layer())
        .layer(retry.layer())
        .layer(Timeout::new(3 * SECOND).unwrap().layer())
        .service(slow);
    let error = service.oneshot(()).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(10 * SECOND));
    assert_eq!(began.elapsed(), 10 * SECOND);
    assert_eq!(*asked.lock().unwrap(), [0, 4, 8].map(|s| s * SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_call_is_dropped_before_the_error_is_returned() {
    let held = Arc::new(());
    let holds = Arc::clone(&held);
    let hung = poll_fn(move |_| {
        let _ = &holds;
        Poll::<Answer>::Pending
    });
    let mut call = tokio_test::task::spawn(within(SECOND, hung));
    assert_pending!(call.poll());
    assert_eq!(Arc::strong_count(&held), 2);
    advance(SECOND).await;
    assert_ready_err!(call.poll());
    // The future, which has ended, is still there.
    assert_eq!(Arc::strong_count(&held), 1);
    drop(call);
}

#[tokio::test(start_paused = true)]
async fn polled_after_its_end_it_says_that_this_is_a_bug() {
    let mut call = pin!(within(SECOND, pending::<Answer>()));
    assert!(call.as_mut().await.is_err());
    let mut cx = Context::from_waker(Waker::noop());
    let again = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut call).poll(&mut cx)));
    assert!(again.is_err());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_that_the_deadline_would_cut_off() {
    let began = Instant::now();
    let slowly = Backoff::constant(5 * SECOND).jitter(Jitter::None);
    let retry = Retry::builder().backoff(slowly).build().unwrap();
    let retried = retry.run(|_| async { Err::<(), BoxError>("down".into()) });
    let error = within(3 * SECOND, retried).await.unwrap_err();
    assert_eq!(error.to_string(), "down");

    let limiter = RateLimiter::builder("api")
        .rate(Rate::new(1, 5 * SECOND))
        .burst(1);
    let limiter = limiter.max_wait(60 * SECOND).build().unwrap();
    limiter.try_acquire().unwrap();
    let limited = limiter.call(|| async { Ok::<_, BoxError>(()) });
    let error = within(3 * SECOND, limited).await.unwrap_err();
    assert!(
        matches!(refusal(&error), Rejected::RateLimited { .. }),
        "{error}"
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Without it the call waits its turn.
    limiter.acquire().await.unwrap();
    assert_eq!(began.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_place_until_its_deadline() {
    let bulkhead = Bulkhead::builder("pool")
        .limit(1)
        .queue(1)
        .max_wait(60 * SECOND);
    let bulkhead = bulkhead.build().unwrap();
    let _taken = bulkhead.try_acquire().unwrap();
    let began = Instant::now();
    let waits = bulkhead.call(|| async { Ok::<_, BoxError>(()) });
    let error = within(3 * SECOND, waits).await.unwrap_err();
    assert!(
        matches!(refusal(&error), Rejected::QueueTimeout { .. }),
        "{error}"
    );
    assert_eq!(began.elapsed(), 3 * SECOND);
    assert_eq!(bulkhead.snapshot().queued, 0);
}
