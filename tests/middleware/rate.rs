//! A rate limiter by itself.

use std::future::Future;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bowline::error::{BoxError, Rejected};
use bowline::rate::{Config, Rate, RateLimiter};
use tokio::time::{Instant, advance};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_ok};

use super::{SECOND, refusal};

/// From one permit to the next.
pub(super) const STEP: Duration = Duration::from_millis(100);
const NANO: Duration = Duration::from_nanos(1);

/// Ten in a second, two at once.
pub(super) fn limiter(max_wait: Duration) -> RateLimiter {
    RateLimiter::builder("upstream")
        .rate(Rate::per_second(10))
        .burst(2)
        .max_wait(max_wait)
        .build()
        .expect("a fine policy")
}

/// The same, with nothing left of the burst.
pub(super) fn drained(max_wait: Duration) -> RateLimiter {
    let limiter = limiter(max_wait);
    limiter.try_acquire_many(2).expect("a full burst");
    limiter
}

fn retry_after(rejected: Result<(), Rejected>) -> Duration {
    let rejected = rejected.expect_err("a rejection");
    rejected.retry_after().expect("a time")
}

/// Polls only when it was woken, and counts how often.
fn polls<F: Future>(call: &mut Spawn<F>, polled: &mut u32) -> Poll<F::Output> {
    if *polled > 0 && !call.is_woken() {
        return Poll::Pending;
    }
    *polled += 1;
    call.poll()
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_is_rejected_until_exactly_the_time_it_says() {
    let limiter = limiter(Duration::ZERO);
    assert!(limiter.try_acquire().is_ok());
    assert!(limiter.try_acquire().is_ok());
    assert_eq!(retry_after(limiter.try_acquire()), STEP);
    advance(STEP / 4).await;
    assert_eq!(retry_after(limiter.try_acquire()), STEP * 3 / 4);
    assert_eq!(retry_after(limiter.try_acquire_many(2)), STEP * 7 / 4);
    advance(STEP * 3 / 4 - NANO).await;
    assert_eq!(retry_after(limiter.try_acquire()), NANO);
    advance(NANO).await;
    assert!(limiter.try_acquire().is_ok());
    assert!(limiter.try_acquire().is_err());
    assert_eq!(limiter.snapshot().rejected, 5);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_burst_is_refused_at_once_and_none_is_always_there() {
    let limiter = drained(3600 * SECOND);
    let at_once = [
        limiter.try_acquire_many(3),
        limiter.reserve_many(3).map(drop),
        assert_ready(spawn(limiter.acquire_many(3)).poll()),
    ];
    for rejected in at_once {
        let Err(Rejected::ExceedsBurst { asked, burst, .. }) = &rejected else {
            panic!("{rejected:?}");
        };
        assert_eq!((*asked, *burst), (3, 2));
        assert_eq!(rejected.unwrap_err().retry_after(), None);
    }
    let _queue = limiter.reserve().expect("a place");
    assert!(limiter.try_acquire_many(0).is_ok());
    assert_eq!(limiter.reserve_many(0).unwrap().delay(), Duration::ZERO);
    assert_ready_ok!(spawn(limiter.acquire_many(0)).poll());
    assert_eq!(limiter.snapshot().next_in, STEP * 2);
}

fn assert_ready<T>(polled: Poll<T>) -> T {
    let Poll::Ready(value) = polled else {
        panic!("pending");
    };
    value
}

#[tokio::test(start_paused = true)]
async fn looking_takes_nothing() {
    let limiter = limiter(SECOND);
    for _ in 0..10 {
        assert_eq!(limiter.available(), 2);
    }
    let snapshot = limiter.snapshot();
    assert_eq!(
        (snapshot.next_in, snapshot.full_in),
        (Duration::ZERO, Duration::ZERO)
    );
    limiter.try_acquire().expect("a permit");
    advance(STEP / 2).await;
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.available, snapshot.full_in), (1, STEP / 2));
    limiter.try_acquire().expect("the other");
    let waits = limiter.reserve().expect("a place");
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.available, snapshot.next_in), (0, STEP * 3 / 2));
    assert_eq!(waits.delay(), STEP / 2);
    assert_eq!(serde_json::to_value(&snapshot).unwrap()["rate"], "10/s");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_be_too_long_is_rejected_at_once() {
    let limiter = drained(STEP * 2);
    let (first, second) = (limiter.reserve().unwrap(), limiter.reserve().unwrap());
    assert_eq!((first.delay(), second.delay()), (STEP, STEP * 2));
    assert_eq!(second.ready_at(), Instant::now() + STEP * 2);
    // Not after the wait that is allowed.
    let mut third = spawn(limiter.acquire());
    assert_eq!(retry_after(assert_ready(third.poll())), STEP * 3);
    advance(NANO).await;
    assert!(limiter.reserve().is_err());
    advance(STEP).await;
    assert!(limiter.reserve().is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiters_go_in_the_order_of_asking_and_are_woken_once_each() {
    let limiter = drained(60 * SECOND);
    let mut waiters: Vec<_> = (0..50).map(|_| (spawn(limiter.acquire()), 0)).collect();
    let mut served = 0;
    for (waiter, polled) in &mut waiters {
        assert_pending!(polls(waiter, polled));
    }
    while served < waiters.len() {
        advance(STEP).await;
        for (index, (waiter, polled)) in waiters.iter_mut().enumerate().skip(served) {
            if polls(waiter, polled).is_ready() {
                assert_eq!(index, served);
                served += 1;
            }
        }
    }
    // Each was polled when it began to wait, and when its time had come. T16: it does not spin.
    let polled: Vec<_> = waiters.iter().map(|(_, polled)| *polled).collect();
    assert_eq!(polled, [2; 50]);
    assert_eq!(limiter.available(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_nothing_needs_no_timer_and_the_shortest_does_not_spin() {
    let limiter = limiter(SECOND);
    assert_ready_ok!(spawn(limiter.acquire()).poll());
    assert_ready_ok!(spawn(limiter.acquire()).poll());
    advance(STEP - NANO).await;
    let mut shortest = spawn(limiter.acquire());
    let mut polled = 0;
    assert_pending!(polls(&mut shortest, &mut polled));
    // The timer counts milliseconds, and is late rather than early.
    advance(Duration::from_millis(1)).await;
    assert_ready_ok!(polls(&mut shortest, &mut polled));
    assert_eq!(polled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_gives_up_gives_its_place_back() {
    let limiter = drained(10 * SECOND);
    let mut waiters: Vec<_> = (0..9).map(|_| spawn(limiter.acquire())).collect();
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    assert_eq!(limiter.snapshot().next_in, STEP * 10);
    // The last: the queue is shorter.
    waiters.pop();
    assert_eq!(limiter.snapshot().next_in, STEP * 9);
    // One in the middle: the next who asks has it, and the others keep their time.
    drop(waiters.remove(3));
    assert_eq!(limiter.snapshot().next_in, STEP * 4);
    let next = limiter.reserve().unwrap();
    assert_eq!(next.delay(), STEP * 4);
    assert_eq!(limiter.reserve().unwrap().delay(), STEP * 9);
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    // All: as if nobody had waited.
    drop(waiters);
    drop(next);
    assert_eq!(limiter.snapshot().next_in, STEP);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_used_once_its_time_has_come_unless_it_is_cancelled() {
    let limiter = drained(SECOND);
    let reservation = limiter.reserve().unwrap();
    advance(STEP).await;
    drop(reservation);
    assert_eq!(limiter.available(), 0);
    advance(STEP).await;
    let reservation = limiter.reserve().unwrap();
    assert_eq!(reservation.delay(), Duration::ZERO);
    assert_eq!(limiter.available(), 0);
    reservation.cancel();
    assert_eq!(limiter.available(), 1);
}

/// Callers who give up after a while must not fill the queue with their places, so that all others
/// give up too.
#[tokio::test(start_paused = true)]
async fn a_queue_of_those_who_give_up_does_not_starve_the_others() {
    let limiter = RateLimiter::builder("x")
        .rate(Rate::per_second(10))
        .burst(1);
    let limiter = limiter.max_wait(SECOND).build().unwrap();
    let patience = SECOND / 2;
    let mut waiting: Vec<(Instant, Spawn<_>)> = Vec::new();
    let mut served = 0;
    for _ in 0..1_000 {
        let mut call = spawn(limiter.acquire());
        if call.poll().is_pending() {
            waiting.push((Instant::now() + patience, call));
        }
        advance(STEP / 2).await;
        waiting.retain_mut(|(until, call)| {
            let done = call.poll().is_ready();
            served += u32::from(done);
            !done && Instant::now() < *until
        });
    }
    // Twice as many ask as may pass, for fifty seconds.
    assert!((480..=501).contains(&served), "{served}");
}

#[test]
fn threads_get_exactly_the_burst_and_what_comes() {
    const THREADS: usize = 8;
    const ROUNDS: u32 = 50;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let limiter = RateLimiter::builder("x")
        .rate(Rate::per_second(1_000))
        .burst(100);
    let limiter = limiter.build().unwrap();
    let granted = AtomicU32::new(0);
    let barrier = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let _entered = runtime.handle().enter();
                for _ in 0..ROUNDS {
                    barrier.wait();
                    for _ in 0..200 {
                        let got = u32::from(limiter.try_acquire().is_ok());
                        granted.fetch_add(got, Ordering::Relaxed);
                    }
                    barrier.wait();
                }
            });
        }
        for round in 0..ROUNDS {
            barrier.wait();
            barrier.wait();
            // Seven permits come in each round.
            assert_eq!(granted.load(Ordering::Relaxed), 100 + 7 * round);
            runtime.block_on(advance(Duration::from_millis(7)));
        }
    });
}

#[tokio::test(start_paused = true)]
async fn no_gap_of_any_length_harms_it() {
    let limiter = drained(SECOND);
    advance(Duration::ZERO).await;
    assert_eq!(limiter.available(), 0);
    for _ in 0..2 {
        advance(Duration::from_secs(200 * 365 * 86_400)).await;
        assert_eq!(limiter.available(), 2);
        limiter.try_acquire_many(2).expect("a full burst");
        assert_eq!(retry_after(limiter.try_acquire()), STEP);
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_is_used_up_when_the_call_begins() {
    let limiter = limiter(Duration::ZERO);
    for _ in 0..2 {
        let answer = limiter.call(|| async { Ok::<_, BoxError>(1) }).await;
        assert_eq!(answer.unwrap(), 1);
    }
    let refused = limiter.call(|| async { Ok::<_, BoxError>(1) }).await;
    let error = refused.unwrap_err();
    assert!(matches!(refusal(&error), Rejected::RateLimited { name, .. } if &**name == "upstream"));
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_at_run_time_gives_nothing_away() {
    let limiter = drained(SECOND);
    let bad = Config::new(Rate::per_second(0));
    assert_eq!(
        limiter.reconfigure(bad).unwrap_err().problems()[0].field,
        "rate"
    );
    let waits = limiter.reserve().unwrap();
    let faster = Config::new(Rate::per_second(100))
        .burst(50)
        .max_wait(SECOND);
    limiter.reconfigure(faster).expect("a fine policy");
    assert_eq!(limiter.config(), faster);
    assert_eq!(limiter.available(), 0);
    assert_eq!(waits.delay(), STEP);
    assert_eq!(limiter.reserve().unwrap().delay(), STEP + STEP / 10);
    advance(STEP * 2).await;
    assert_eq!(limiter.available(), 10);
    // The same again: what is given back while others wait behind it is not lost.
    limiter.try_acquire_many(10).expect("all there are");
    let (early, _late) = (limiter.reserve().unwrap(), limiter.reserve().unwrap());
    drop(early);
    limiter.reconfigure(faster).expect("a fine policy");
    assert_eq!(limiter.reserve().unwrap().delay(), STEP / 10);
}

#[test]
fn a_builder_lists_every_problem() {
    let fields = |builder: bowline::rate::Builder| {
        let error = builder.build().expect_err("refused");
        let problems = error.problems().iter();
        problems.map(|p| p.field.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        fields(RateLimiter::builder("x").burst(0)),
        ["rate", "burst"]
    );
    let none = Rate::per_second(0);
    assert_eq!(fields(RateLimiter::builder("x").rate(none)), ["rate"]);
}

#[test]
fn it_works_without_a_runtime() {
    let limiter = limiter(SECOND);
    assert!(limiter.try_acquire_many(2).is_ok());
    let reservation = limiter.reserve().expect("a place");
    assert!(reservation.delay() <= STEP);
}
