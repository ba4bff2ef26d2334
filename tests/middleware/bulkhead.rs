use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bowline::breaker::{Breaker, State};
use bowline::bulkhead::{Bulkhead, Config, HeldBody, Order};
use bowline::error::{BoxError, Rejected};
use http_body::{Body, Frame};
use tokio::sync::Semaphore;
use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service as _, ServiceExt, service_fn};
use tower_test::mock;

use super::{SECOND, Service, Upstream, answer, refusal};

fn bulkhead(limit: u32, queue: u32) -> Bulkhead {
    Bulkhead::builder("upstream")
        .limit(limit)
        .queue(queue)
        .max_wait(SECOND)
        .build()
        .expect("a fine policy")
}

fn running(bulkhead: &Bulkhead) -> u32 {
    bulkhead.snapshot().running
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_asks_nobody_and_rejects_at_once() {
    let bulkhead = bulkhead(1, 0);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(bulkhead.layer().layer(mock));
    assert_ready_ok!(service.poll_ready());
    let mut first = spawn(service.call("first"));
    assert_pending!(first.poll());
    assert_ready_ok!(service.poll_ready());
    let mut second = spawn(service.call("second"));
    let error = assert_ready_err!(second.poll());
    assert_eq!(*refusal(&error), Rejected::bulkhead_full("upstream"));
    answer!(upstream, "first", Ok("hello"));
    assert_eq!(assert_ready_ok!(first.poll()), "hello");
    let mut asked = spawn(upstream.next_request());
    assert_pending!(asked.poll());
    assert_eq!((running(&bulkhead), bulkhead.snapshot().rejected), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn clones_that_are_ready_but_never_called_hold_no_place() {
    let bulkhead = bulkhead(1, 0);
    let service = bulkhead
        .layer()
        .layer(service_fn(|_: ()| async { Ok::<_, BoxError>(()) }));
    let mut idle = vec![service.clone(); 100];
    for service in &mut idle {
        service.ready().await.unwrap();
    }
    assert!(service.oneshot(()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn success_failure_drop_and_panic_all_give_the_place_back() {
    let bulkhead = bulkhead(1, 0);
    for _ in 0..3 {
        assert!(
            bulkhead
                .call(|| async { Ok::<_, BoxError>(()) })
                .await
                .is_ok()
        );
        let failed = bulkhead.call(|| async { Err::<(), BoxError>("down".into()) });
        assert_eq!(failed.await.unwrap_err().to_string(), "down");
        let mut given_up = spawn(bulkhead.call(std::future::pending::<Result<(), BoxError>>));
        assert_pending!(given_up.poll());
        assert_eq!(running(&bulkhead), 1);
        drop(given_up);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut call = spawn(bulkhead.call(|| async { buggy() }));
            drop(call.poll());
        }));
        assert!(panicked.is_err());
        assert_eq!(running(&bulkhead), 0);
    }
}

fn buggy() -> Result<(), BoxError> {
    panic!("a bug");
}

#[tokio::test(start_paused = true)]
async fn all_layers_of_a_bulkhead_have_the_same_places() {
    let bulkhead = bulkhead(1, 0);
    let pending = service_fn(|_: ()| std::future::pending::<Result<(), BoxError>>());
    let mut one = bulkhead.layer().layer(pending);
    let mut two = bulkhead.clone().layer().layer(pending);
    let mut call = spawn(one.call(()));
    assert_pending!(call.poll());
    assert!(two.call(()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn while_a_call_waits_its_service_holds_nothing_that_others_need() {
    let bulkhead = bulkhead(1, 1);
    let inner = Arc::new(Semaphore::new(1));
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let limited = ConcurrencyLimit::with_semaphore(mock, Arc::clone(&inner));
    let mut service = mock::Spawn::new(bulkhead.layer().layer(limited));
    let permit = bulkhead.try_acquire().unwrap();

    assert_ready_ok!(service.poll_ready());
    assert_eq!(inner.available_permits(), 0, "it is ready");
    let mut call = spawn(service.call("hello"));
    assert_pending!(call.poll());
    assert_eq!(inner.available_permits(), 1, "it waits");

    drop(permit);
    assert!(call.is_woken());
    // The inner limit panics when it is called without being ready.
    assert_pending!(call.poll());
    answer!(upstream, "hello", Ok("world"));
    assert_eq!(assert_ready_ok!(call.poll()), "world");
    assert_eq!(running(&bulkhead), 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_get_ready_gives_the_place_back() {
    let bulkhead = bulkhead(1, 1);
    let (mock, mut upstream): (Service, Upstream) = mock::pair();
    let mut service = mock::Spawn::new(bulkhead.layer().layer(mock));
    let permit = bulkhead.try_acquire().unwrap();
    assert_ready_ok!(service.poll_ready());
    let mut call = spawn(service.call("hello"));
    assert_pending!(call.poll());
    drop(permit);
    upstream.send_error("gone");
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "gone");
    assert_eq!(running(&bulkhead), 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_clone_can_be_protected() {
    struct NotClone;
    impl tower::Service<()> for NotClone {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Result<(), BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    let bulkhead = bulkhead(1, 9);
    let mut service = bulkhead.layer().without_queue().layer(NotClone);
    assert!(service.call(()).await.is_ok());
    let _permit = bulkhead.try_acquire().unwrap();
    let refused = service.call(()).await.unwrap_err();
    assert_eq!(*refusal(&refused), Rejected::bulkhead_full("upstream"));
}

#[tokio::test(start_paused = true)]
async fn a_saturated_bulkhead_is_no_evidence_against_the_service() {
    let bulkhead = bulkhead(1, 0);
    let breaker = Breaker::builder("upstream").consecutive_failures(1);
    let breaker = breaker.build().unwrap();
    let _permit = bulkhead.try_acquire().unwrap();
    for _ in 0..1_000 {
        let refused = breaker
            .call(|| bulkhead.call(|| async { Ok::<_, BoxError>(()) }))
            .await;
        assert!(refused.is_err());
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_length_and_in_time() {
    let bulkhead = bulkhead(1, 1);
    let _permit = bulkhead.try_acquire().unwrap();
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    let mut refused = spawn(bulkhead.acquire());
    let full = assert_ready_err!(refused.poll());
    assert_eq!(full, Rejected::bulkhead_full("upstream"));
    advance(SECOND - Duration::from_millis(1)).await;
    assert_pending!(waits.poll());
    advance(Duration::from_millis(1)).await;
    assert!(waits.is_woken());
    let late = assert_ready_err!(waits.poll());
    assert_eq!(late, Rejected::queue_timeout("upstream", SECOND));
    let snapshot = bulkhead.snapshot();
    assert_eq!((snapshot.rejected, snapshot.timed_out), (1, 1));
    assert_eq!((snapshot.running, snapshot.queued), (1, 0));
    assert_pending!(spawn(bulkhead.acquire()).poll());
}

#[tokio::test(start_paused = true)]
async fn who_waited_too_long_or_gave_up_is_skipped_and_never_runs() {
    let bulkhead = bulkhead(1, 4);
    let permit = bulkhead.try_acquire().unwrap();
    let ran = AtomicU32::new(0);
    let work = || async {
        ran.fetch_add(1, Ordering::SeqCst);
        Ok::<_, BoxError>(())
    };
    let mut late = (spawn(bulkhead.call(work)), spawn(bulkhead.call(work)));
    assert_pending!(late.0.poll());
    assert_pending!(late.1.poll());
    // As if the process had been stopped: nobody was polled when the time was over.
    advance(SECOND).await;
    let mut given_up = spawn(bulkhead.call(work));
    assert_pending!(given_up.poll());
    let mut alive = spawn(bulkhead.call(work));
    assert_pending!(alive.poll());
    drop(given_up);
    drop(permit);
    assert!(alive.is_woken());
    assert_ready_ok!(alive.poll());
    let error = assert_ready_err!(late.0.poll());
    assert_eq!(
        *refusal(&error),
        Rejected::queue_timeout("upstream", SECOND)
    );
    assert_ready_err!(late.1.poll());
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(bulkhead.snapshot().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_of_the_dead_is_no_reason_to_refuse_the_living() {
    let bulkhead = bulkhead(1, 2);
    let permit = bulkhead.try_acquire().unwrap();
    let mut late = (spawn(bulkhead.acquire()), spawn(bulkhead.acquire()));
    assert_pending!(late.0.poll());
    assert_pending!(late.1.poll());
    advance(SECOND).await;
    assert_eq!(bulkhead.snapshot().queued, 0);
    let mut alive = spawn(bulkhead.acquire());
    assert_pending!(alive.poll());
    drop(permit);
    drop(assert_ready_ok!(alive.poll()));
}

#[tokio::test(start_paused = true)]
async fn a_place_nobody_claims_in_time_is_free_for_who_does_not_wait() {
    let bulkhead = bulkhead(2, 2);
    let first = bulkhead.try_acquire().unwrap();
    let _second = bulkhead.try_acquire().unwrap();
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    drop(first);
    assert!(bulkhead.try_acquire().is_err(), "the place is another's");
    // Granted and never looked at: the place is given on when the waiting ends.
    drop(waits);
    assert!(bulkhead.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_dropped_when_its_turn_has_come_gives_the_place_to_the_next() {
    let bulkhead = bulkhead(1, 3);
    let permit = bulkhead.try_acquire().unwrap();
    let mut waiting: VecDeque<_> = (0..3).map(|_| spawn(bulkhead.acquire())).collect();
    for waiter in &mut waiting {
        assert_pending!(waiter.poll());
    }
    drop(permit);
    for _ in 0..2 {
        assert!(waiting[0].is_woken() && !waiting[1].is_woken());
        drop(waiting.pop_front());
    }
    let permit = assert_ready_ok!(waiting[0].poll());
    drop(permit);
    assert_eq!(running(&bulkhead), 0);
}

#[tokio::test(start_paused = true)]
async fn a_place_granted_in_time_is_kept_however_late_it_is_taken() {
    let bulkhead = bulkhead(1, 1);
    let permit = bulkhead.try_acquire().unwrap();
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    drop(permit);
    advance(10 * SECOND).await;
    drop(assert_ready_ok!(waits.poll()));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_moves_to_another_task_is_woken_there() {
    let bulkhead = bulkhead(1, 1);
    let permit = bulkhead.try_acquire().unwrap();
    let mut waits = Box::pin(bulkhead.acquire());
    let mut first = spawn(());
    first.enter(|cx, _| assert_pending!(waits.as_mut().poll(cx)));
    let mut second = spawn(());
    second.enter(|cx, _| assert_pending!(waits.as_mut().poll(cx)));
    drop(permit);
    assert!(second.is_woken() && !first.is_woken());
    let permit = second.enter(|cx, _| assert_ready_ok!(waits.as_mut().poll(cx)));
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn under_overload_the_newest_come_first() {
    let order = async |order, waiting: usize| {
        let bulkhead = Bulkhead::builder("upstream").limit(1).queue(4);
        let bulkhead = bulkhead.order(order).build().unwrap();
        let mut permit = Some(bulkhead.try_acquire().unwrap());
        let mut calls: Vec<_> = (0..waiting).map(|_| spawn(bulkhead.acquire())).collect();
        for call in &mut calls {
            assert_pending!(call.poll());
        }
        let mut served = Vec::new();
        while served.len() < waiting {
            drop(permit.take());
            let next = calls
                .iter()
                .enumerate()
                .position(|(at, call)| call.is_woken() && !served.contains(&at));
            let next = next.expect("somebody's turn");
            permit = Some(assert_ready_ok!(calls[next].poll()));
            served.push(next);
        }
        served
    };
    assert_eq!(order(Order::Fifo, 4).await, [0, 1, 2, 3]);
    assert_eq!(order(Order::AdaptiveLifo, 4).await, [3, 2, 0, 1]);
    assert_eq!(
        order(Order::AdaptiveLifo, 2).await,
        [0, 1],
        "half full is not more"
    );
}

#[tokio::test(start_paused = true)]
async fn lowering_the_limit_under_running_calls_takes_nobodys_place_and_leaves_a_debt() {
    let bulkhead = bulkhead(4, 0);
    let mut permits: Vec<_> = (0..4).map(|_| bulkhead.try_acquire().unwrap()).collect();
    bulkhead.resize(1).unwrap();
    let snapshot = bulkhead.snapshot();
    assert_eq!((snapshot.limit, snapshot.running), (1, 4));
    for left in (1..4).rev() {
        permits.pop();
        assert_eq!(running(&bulkhead), left);
        assert!(bulkhead.try_acquire().is_err());
    }
    permits.pop();
    let permit = bulkhead.try_acquire().unwrap();
    assert!(bulkhead.try_acquire().is_err());
    drop(permit);
}

#[tokio::test(start_paused = true)]
async fn raising_the_limit_lets_in_those_that_wait() {
    let bulkhead = bulkhead(1, 4);
    let _permit = bulkhead.try_acquire().unwrap();
    let mut waiting: Vec<_> = (0..4).map(|_| spawn(bulkhead.acquire())).collect();
    for waiter in &mut waiting {
        assert_pending!(waiter.poll());
    }
    bulkhead.resize(3).unwrap();
    let woken: Vec<_> = waiting.iter().map(|waiter| waiter.is_woken()).collect();
    assert_eq!(woken, [true, true, false, false]);
    assert_eq!((running(&bulkhead), bulkhead.snapshot().queued), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn another_policy_is_taken_on_whole_or_not_at_all() {
    let bulkhead = bulkhead(1, 0);
    let _permit = bulkhead.try_acquire().unwrap();
    let read = |json: &str| serde_json::from_str::<Config>(json).unwrap();
    let error = bulkhead
        .reconfigure(read(r#"{"limit": 0, "queue": 9, "max_wait": "0s"}"#))
        .unwrap_err();
    assert_eq!(error.problems().len(), 2);
    assert!(bulkhead.resize(0).is_err());
    assert_eq!((bulkhead.config().limit, bulkhead.config().queue), (1, 0));
    assert_ready_err!(spawn(bulkhead.acquire()).poll());

    bulkhead
        .reconfigure(read(r#"{"limit": 1, "queue": 1, "max_wait": "2s"}"#))
        .unwrap();
    let mut waits = spawn(bulkhead.acquire());
    assert_pending!(waits.poll());
    // Who waits already stays.
    bulkhead.reconfigure(read(r#"{"limit": 1}"#)).unwrap();
    assert_eq!(bulkhead.config(), read(r#"{"limit": 1}"#));
    let snapshot = bulkhead.snapshot();
    assert_eq!(
        (snapshot.running, snapshot.queued, snapshot.rejected),
        (1, 1, 1)
    );
    assert_ready_err!(spawn(bulkhead.acquire()).poll());
    advance(2 * SECOND - Duration::from_millis(1)).await;
    assert_pending!(waits.poll());
    advance(Duration::from_millis(1)).await;
    assert_ready_err!(waits.poll());
}

#[tokio::test(start_paused = true)]
async fn a_permit_may_outlive_its_bulkhead_and_is_counted_by_no_other() {
    let permits: Vec<_> = (0..10)
        .map(|_| bulkhead(1, 0).try_acquire().unwrap())
        .collect();
    let others: Vec<_> = (0..20).map(|_| bulkhead(1, 0)).collect();
    let held: Vec<_> = others.iter().map(|other| other.try_acquire()).collect();
    drop(permits);
    assert!(held.iter().all(Result::is_ok));
    assert!(others.iter().all(|other| running(other) == 1));
    assert!(others.iter().all(|other| other.try_acquire().is_err()));
}

/// A body of frames; `None` fails.
struct Frames(VecDeque<Option<&'static str>>);

impl Body for Frames {
    type Data = VecDeque<u8>;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<VecDeque<u8>>, BoxError>>> {
        let frame = self.0.pop_front().map(|frame| match frame {
            Some(text) => Ok(Frame::data(text.bytes().collect())),
            None => Err("cut off".into()),
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

#[tokio::test(start_paused = true)]
async fn the_place_is_held_to_the_end_of_the_body() {
    let bulkhead = bulkhead(1, 0);
    let service = service_fn(async |frames: Vec<Option<&'static str>>| {
        Ok::<_, BoxError>(http::Response::new(Frames(frames.into())))
    });
    let until_response = bulkhead.layer().layer(service);
    let response = until_response.oneshot(vec![Some("a")]).await.unwrap();
    assert_eq!(running(&bulkhead), 0);
    drop(response);

    let held = bulkhead.layer().until_body().layer(service);
    let ask = async |frames| held.clone().oneshot(frames).await.unwrap().into_body();
    let mut body = spawn(ask(vec![Some("a"), Some("b")]).await);
    let frame = |body: &mut Spawn<HeldBody<Frames>>| {
        body.enter(|cx, body| assert_ready!(Body::poll_frame(body, cx)))
    };
    frame(&mut body).unwrap().unwrap();
    assert_eq!(running(&bulkhead), 1);
    // Whoever reads it may not ask again after the last frame.
    frame(&mut body).unwrap().unwrap();
    assert_eq!(running(&bulkhead), 0);

    let mut failing = spawn(ask(vec![None, Some("never read")]).await);
    assert!(frame(&mut failing).unwrap().is_err());
    assert_eq!(running(&bulkhead), 0);

    let empty = ask(vec![]).await;
    assert_eq!(running(&bulkhead), 0);
    let dropped = ask(vec![Some("a")]).await;
    assert_eq!(running(&bulkhead), 1);
    drop((dropped, empty));
    assert_eq!(running(&bulkhead), 0);
}
