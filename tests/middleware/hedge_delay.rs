//! When hedges begin, and how the delay follows the latest calls.

use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bowline::config::Ratio;
use bowline::error::BoxError;
use bowline::hedge::{Config, Delay, Hedge};
use tokio::time::{Instant, advance, sleep};
use tokio_test::assert_pending;

use super::SECOND;
use super::hedge::{Answer, after, down, hedge, policy};

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

fn percentile(share: Ratio) -> Hedge {
    let delay = Delay::percentile(share, 10 * SECOND);
    policy().delay(delay).without_budget().build().unwrap()
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

fn config(delay: Delay, attempts: u32) -> Config {
    let mut config = Config::default();
    config.delay = delay;
    config.attempts = attempts;
    config
}

#[tokio::test(start_paused = true)]
async fn another_policy_holds_for_calls_on_their_way_and_a_bad_one_changes_nothing() {
    let hedge = hedge();
    let call = || hedge.run(|attempt| after(60, Answer::Ok(attempt)));
    let mut slow = tokio_test::task::spawn(call());
    assert_pending!(slow.poll());
    advance(SECOND).await;
    assert_pending!(slow.poll());
    assert_eq!(hedge.snapshot().started, 1);

    // Its last attempt was the second one; calls from now on have three, sooner.
    let sooner = config(Delay::fixed(SECOND / 2), 3);
    hedge.reconfigure(sooner).unwrap();
    assert_eq!(hedge.config(), sooner);
    let mut quick = tokio_test::task::spawn(call());
    assert_pending!(quick.poll());
    for started in 2..=3 {
        advance(SECOND / 2).await;
        assert_pending!(slow.poll());
        assert_pending!(quick.poll());
        assert_eq!(hedge.snapshot().started, started);
    }
    let mut late = tokio_test::task::spawn(call());
    assert_pending!(late.poll());
    hedge.reconfigure(config(Delay::fixed(SECOND), 1)).unwrap();
    advance(2 * SECOND).await;
    assert_pending!(late.poll());
    assert_eq!(hedge.snapshot().started, 3, "none any more");

    let bad = config(Delay::percentile(Ratio::ONE, Duration::ZERO), 5);
    assert_eq!(hedge.reconfigure(bad).unwrap_err().problems().len(), 3);
    assert_eq!(hedge.config().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn another_percentile_is_taken_from_the_calls_that_are_known() {
    let hedge = percentile(Ratio::HALF);
    for call in 0..200 {
        let seconds = if call % 10 == 0 { 8 } else { 2 };
        hedge.run(|_| after(seconds, Answer::Ok(1))).await.unwrap();
    }
    let about =
        |seconds| (seconds * SECOND..seconds * SECOND + SECOND).contains(&hedge.snapshot().delay);
    assert!(about(2));
    let started = hedge.snapshot().started;
    let share = |percent| config(Delay::percentile(Ratio::percent(percent), 10 * SECOND), 2);
    hedge.reconfigure(share(95)).unwrap();
    assert!(about(8), "at once");
    assert_eq!(
        (hedge.snapshot().calls, hedge.snapshot().started),
        (200, started)
    );

    // A fixed delay needs no times, and a percentile after it begins anew.
    hedge.reconfigure(config(Delay::fixed(SECOND), 2)).unwrap();
    hedge.run(|_| after(2, Answer::Ok(1))).await.unwrap();
    assert_eq!(
        (hedge.snapshot().calls, hedge.snapshot().delay),
        (0, SECOND)
    );
    hedge.reconfigure(share(95)).unwrap();
    assert_eq!(hedge.snapshot().delay, 10 * SECOND);
    hedge.run(|_| after(2, Answer::Ok(1))).await.unwrap();
    assert_eq!(hedge.snapshot().calls, 1);
}
