use std::future::pending;
use std::time::Duration;

use bowline::error::Kind;
use tokio::time::{self, Instant};

use crate::script::{Attempts, Call, Script, run, secs, soon};

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_runs_commits_it_and_leaves_the_group() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, _| async {
        time::sleep(Duration::from_secs(3)).await;
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 4..6);
    secs(1).await;
    let stopped = Instant::now();
    running.shutdown.trigger();
    running.ended.await.unwrap().unwrap();
    assert_eq!(stopped.elapsed().as_secs(), 2);
    assert_eq!(attempts.list(), [(0, 0), (1, 4)]);
    let mut calls = script.calls();
    calls.retain(|call| !matches!(call, Call::Pause(_)));
    assert_eq!(
        calls,
        [Call::Commit(vec![(0, 1, 1), (1, 1, 5)]), Call::Close]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_holds_up_the_end_only_so_long() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|partition, offset, _| async move {
        if (partition, offset) == (0, 1) {
            pending::<()>().await;
        }
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 0..1);
    soon().await;
    let stopped = Instant::now();
    running.shutdown.trigger();
    running.ended.await.unwrap().unwrap();
    assert_eq!(stopped.elapsed().as_secs(), 10);
    assert_eq!(script.commits().last().unwrap(), &[(0, 1, 1), (1, 1, 1)]);
    assert_eq!(script.calls().last(), Some(&Call::Close));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_while_stopping_is_not_tried_again() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, _| async {
        time::sleep(Duration::from_secs(1)).await;
        Err("no".into())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    soon().await;
    running.shutdown.trigger();
    running.ended.await.unwrap().unwrap();
    assert_eq!(attempts.list(), [(0, 0)]);
    assert_eq!(script.commits(), [] as [Vec<_>; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_while_stopping_is_followed() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|partition, _, _| async move {
        time::sleep(Duration::from_secs(2 * u64::from(partition))).await;
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(1, 1), (2, 1), (3, 1)]);
    for partition in 1..=3 {
        script.records(partition, 1, 0..2);
    }
    soon().await;
    running.shutdown.trigger();
    soon().await;
    script.revoke(&[(1, 1)]);
    script.lose(&[(2, 1)]);
    script.assign(&[(4, 1)]);
    script.records(4, 1, 0..2);
    running.ended.await.unwrap().unwrap();
    assert_eq!(attempts.list(), [(1, 0), (2, 0), (3, 0)]);
    let mut calls = script.calls();
    calls.retain(|call| !matches!(call, Call::Pause(_)));
    let wanted = [
        Call::Commit(vec![(1, 1, 1)]),
        Call::Release(vec![(1, 1)]),
        Call::Commit(vec![(3, 1, 1)]),
        Call::Close,
    ];
    assert_eq!(calls, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_gone_does_not_hold_up_the_end() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    soon().await;
    for _ in 0..10_000 {
        script.fail_commit(Kind::Unavailable);
    }
    running.shutdown.trigger();
    let ended = time::timeout(Duration::from_secs(6), running.ended).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_joining_ends_at_once() {
    let script = Script::default();
    for _ in 0..10_000 {
        script.fail_subscribe(Kind::Unavailable);
    }
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    secs(60).await;
    running.shutdown.trigger();
    let ended = time::timeout(Duration::from_millis(1), running.ended).await;
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_run_cancels_the_handlers_and_commits_nothing() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, _| async move {
        time::sleep(Duration::from_millis(50 * offset)).await;
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..4);
    soon().await;
    running.ended.abort();
    secs(60).await;
    assert_eq!(attempts.list(), [(0, 0), (0, 1)]);
    assert_eq!(script.calls(), [Call::Pause(0)]);
    assert!(running.status.snapshot().partitions.is_empty());
}
