//! How a retry ends: by its timers, also when nothing yields to them, and with nothing kept.

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::backoff::{Backoff, Jitter};
use bowline::error::{BoxError, Rejected};
use bowline::retry::{Builder, Retry};
use tokio::task::{consume_budget, yield_now};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service as _, ServiceExt, service_fn};

use super::{SECOND, refusal};

/// A second between attempts, three of them, ten seconds in all.
fn policy() -> Builder {
    Retry::builder()
        .attempts(3)
        .backoff(Backoff::constant(SECOND).jitter(Jitter::None))
        .deadline(10 * SECOND)
}

/// Counts how often it was dropped.
struct Guard(Arc<AtomicU32>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn guard() -> (Guard, impl Fn() -> u32) {
    let dropped = Arc::new(AtomicU32::new(0));
    let guard = Guard(Arc::clone(&dropped));
    (guard, move || dropped.load(Ordering::SeqCst))
}

thread_local! {
    static TURNS: Cell<u32> = const { Cell::new(0) };
}

/// Uses up the budget of its task on each poll, and is woken at once. Ends when no timer ever fired.
async fn busy() -> Result<(), BoxError> {
    while TURNS.replace(TURNS.get() + 1) < 1_000_000 {
        consume_budget().await;
    }
    Ok(())
}

/// Lets time pass, a tenth of a second for each turn of the other tasks.
async fn pass(tenths: u32) {
    for _ in 0..tenths {
        yield_now().await;
        advance(SECOND / 10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_comes_also_while_the_attempt_is_always_busy() {
    let retry = policy().attempts(1).build().unwrap();
    let began = Instant::now();
    let clock = tokio::spawn(pass(200));
    let error = retry.run(|_| busy()).await.unwrap_err();
    assert_eq!(*refusal(&error), Rejected::elapsed(10 * SECOND));
    assert!(began.elapsed() < 11 * SECOND);
    clock.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_always_busy_ends_in_time_and_is_tried_again() {
    let retry = policy().attempt_timeout(SECOND).build().unwrap();
    let began = Instant::now();
    let clock = tokio::spawn(pass(200));
    let answered = retry.run(|attempt| async move {
        match attempt {
            1 | 2 => busy().await,
            _ => Ok(()),
        }
    });
    answered.await.unwrap();
    assert!(TURNS.get() < 1_000_000, "no attempt came to its own end");
    assert!(began.elapsed() < 5 * SECOND);
    clock.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_deadline_ends_drops_the_running_attempt_at_once() {
    for attempt_timeout in [None, Some(SECOND)] {
        let mut policy = policy().attempts(1);
        if let Some(limit) = attempt_timeout {
            policy = policy.attempt_timeout(limit);
        }
        let (guard, dropped) = guard();
        let guard = Cell::new(Some(guard));
        let hung = service_fn(|_: ()| {
            let guard = guard.take();
            async move {
                let _guard = guard;
                pending::<Result<(), BoxError>>().await
            }
        });
        let call = policy.build().unwrap().layer().layer(hung).oneshot(());
        let mut call = tokio_test::task::spawn(call);
        assert_pending!(call.poll());
        advance(10 * SECOND).await;
        assert_eq!(dropped(), 0);
        assert_ready_err!(call.poll());
        // The future, which has ended, is still there.
        assert_eq!(dropped(), 1, "{attempt_timeout:?}");
        drop(call);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_ended_keeps_no_request_and_no_schedule() {
    #[derive(Clone)]
    struct Request(#[expect(dead_code, reason = "counted")] Arc<Guard>);

    let (request, request_dropped) = guard();
    let (schedule, schedule_dropped) = guard();
    let schedule = std::sync::Mutex::new(Some(schedule));
    let waits = move || {
        let guard = schedule.lock().unwrap().take();
        std::iter::from_fn(move || guard.as_ref().map(|_| SECOND))
    };
    let retry = policy().attempts(100).backoff_fn(waits).build().unwrap();
    let down = service_fn(|_: Request| async { Err::<(), BoxError>("down".into()) });
    let call = retry.layer().layer(down).call(Request(Arc::new(request)));
    let mut call = tokio_test::task::spawn(call);
    for _ in 0..9 {
        assert_pending!(call.poll());
        advance(SECOND).await;
    }
    assert_eq!((request_dropped(), schedule_dropped()), (0, 0));
    assert_ready_err!(call.poll());
    assert_eq!((request_dropped(), schedule_dropped()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_schedule_has_captured_is_dropped_with_the_last_handle() {
    let (guard, dropped) = guard();
    let waits = move || {
        let _ = &guard;
        [Duration::ZERO]
    };
    let retry = policy().backoff_fn(waits).build().unwrap();
    let mut service = retry
        .layer()
        .layer(service_fn(|_: ()| async { Ok::<_, BoxError>(()) }));
    drop(retry);
    service.call(()).await.unwrap();
    assert_eq!(dropped(), 0);
    drop(service);
    assert_eq!(dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_all_handles_keeps_what_its_schedule_has_captured() {
    let (guard, dropped) = guard();
    let waits = move || {
        let _ = &guard;
        [SECOND]
    };
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let service = service_fn(move |_: ()| {
        let attempt = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            yield_now().await;
            match attempt {
                0 => Err::<(), BoxError>("down".into()),
                _ => Ok(()),
            }
        }
    });
    let retry = policy().backoff_fn(waits).build().unwrap();
    let call = retry.layer().layer(service).call(());
    drop(retry);
    let mut call = tokio_test::task::spawn(call);
    assert_pending!(call.poll());
    assert_eq!(dropped(), 0);
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert_pending!(call.poll());
    assert_ready_ok!(call.poll());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(dropped(), 1);
}
