use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bowline::consumer::Order;
use tokio::sync::Semaphore;
use tokio::time;

use crate::script::{Attempts, Call, Script, run, run_with, secs, soon};

#[tokio::test(start_paused = true)]
async fn revoking_waits_for_the_running_record_then_commits_then_releases() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, _| async {
        time::sleep(Duration::from_secs(4)).await;
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 0..1);
    secs(1).await;
    script.revoke(&[(0, 1)]);
    secs(2).await;
    assert_eq!(script.calls(), []);
    secs(2).await;
    let commit = Call::Commit(vec![(0, 1, 1), (1, 1, 1)]);
    assert_eq!(script.calls(), [commit, Call::Release(vec![(0, 1)])]);
    secs(60).await;
    assert_eq!(attempts.list(), [(0, 0), (1, 0)], "nothing of it is begun");
    assert_eq!(script.calls().len(), 2);
    assert_eq!(running.status.snapshot().partitions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn revoking_waits_no_longer_than_the_drain_timeout_and_ignores_what_comes_later() {
    let script = Script::default();
    let attempts = Attempts::default();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let handler = attempts.handler(move |_, offset, _| {
        let gate = Arc::clone(&gate);
        async move {
            if offset == 1 {
                gate.acquire().await?.forget();
            }
            Ok(())
        }
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..3);
    soon().await;
    script.revoke(&[(0, 1)]);
    time::sleep(Duration::from_millis(9_990)).await;
    assert_eq!(script.calls(), [Call::Commit(vec![(0, 1, 1)])]);
    time::sleep(Duration::from_millis(20)).await;
    assert_eq!(script.calls()[1..], [Call::Release(vec![(0, 1)])]);

    opened.add_permits(1);
    secs(60).await;
    assert_eq!(script.calls().len(), 2);
    assert_eq!(opened.available_permits(), 1, "the handler was cancelled");
}

/// Given back before the commit is made, it would be refused, and all of it handled again.
#[tokio::test(start_paused = true)]
async fn what_was_done_by_the_end_of_the_drain_timeout_is_committed_before_the_release() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, offset, _| async move {
        if offset == 1 {
            pending::<()>().await;
        }
        time::sleep(Duration::from_millis(9_990)).await;
        Ok(())
    });
    let _running = run_with(&script, handler, |builder| builder.with_order(Order::None));
    script.one_at_a_time(Duration::from_millis(5));
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    soon().await;
    script.revoke(&[(0, 1)]);
    secs(11).await;
    let (committed, released) = (vec![(0, 1, 1)], vec![(0, 1)]);
    assert_eq!(
        script.calls(),
        [Call::Commit(committed), Call::Release(released)]
    );
}

/// A back-end with one connection for all that it writes does them one after the other.
#[tokio::test(start_paused = true)]
async fn a_release_lets_a_commit_go_on_that_it_waits_for() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, _, _| async { Ok(()) });
    let _running = run(&script, handler);
    script.one_at_a_time(Duration::from_millis(200));
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..1);
    time::sleep(Duration::from_millis(200)).await;
    script.revoke(&[(1, 1)]);
    secs(1).await;
    let (committed, released) = (vec![(0, 1, 1)], vec![(1, 1)]);
    assert_eq!(
        script.calls(),
        [Call::Commit(committed), Call::Release(released)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_partition_waiting_to_try_again_is_released_at_once() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, _| async { Err("no".into()) });
    let running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..1);
    while running.status.snapshot().failed_attempts < 10 {
        secs(1).await;
    }
    script.revoke(&[(0, 1)]);
    soon().await;
    assert_eq!(script.calls(), [Call::Release(vec![(0, 1)])]);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_cancelled_and_never_committed() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|partition, offset, _| async move {
        if (partition, offset) == (0, 1) {
            time::sleep(Duration::from_secs(5)).await;
        }
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    soon().await;
    script.lose(&[(0, 1)]);
    script.records(1, 1, 0..1);
    soon().await;
    assert_eq!(running.status.snapshot().in_flight(), 0);
    assert_eq!(running.status.snapshot().partitions.len(), 1);
    secs(60).await;
    assert_eq!(script.calls(), [Call::Commit(vec![(1, 1, 1)])]);
    assert_eq!(attempts.list(), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(running.status.snapshot().done, 2);
    assert!(!running.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_before_it_has_begun_is_not_begun() {
    let script = Script::default();
    let attempts = Attempts::default();
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..1);
    script.lose(&[(0, 1)]);
    script.records(1, 1, 0..1);
    let _running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    soon().await;
    assert_eq!(attempts.list(), [(1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_while_it_is_revoked_is_not_released() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, _| async {
        time::sleep(Duration::from_secs(5)).await;
        Ok(())
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, [0]);
    soon().await;
    script.revoke(&[(0, 1)]);
    secs(1).await;
    script.lose(&[(0, 1)]);
    secs(60).await;
    assert_eq!(script.calls(), []);
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_ends_only_the_assignment_it_was_for() {
    let script = Script::default();
    let attempts = Attempts::default();
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..2);
    script.records(1, 1, 0..2);
    soon().await;
    // The result comes after the assignment has ended, and before the consumer hears of it.
    script.take_away(&[(0, 1)]);
    secs(1).await;
    assert_eq!(script.commits(), [[(1, 1, 2)]]);
    assert_eq!(running.status.snapshot().partitions.len(), 1);

    script.lose(&[(0, 1)]);
    script.assign(&[(0, 2)]);
    script.records(0, 2, 0..2);
    secs(1).await;
    assert_eq!(script.commits()[1..], [[(0, 2, 2)]]);
    assert!(!running.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_begins_unpaused_with_nothing_done() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, before| async move {
        if before == 0 {
            time::sleep(Duration::from_secs(3)).await;
        }
        Ok(())
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..4);
    soon().await;
    assert!(script.is_paused(0));
    script.revoke(&[(0, 1)]);
    secs(4).await;
    script.assign(&[(0, 7)]);
    soon().await;
    assert!(!script.is_paused(0));
    script.records(0, 7, [1]);
    secs(5).await;
    assert_eq!(script.commits(), [[(0, 1, 1)], [(0, 7, 2)]]);
}

#[tokio::test(start_paused = true)]
async fn records_of_an_assignment_that_is_not_ours_are_left_alone() {
    let script = Script::default();
    let attempts = Attempts::default();
    let _running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 2)]);
    script.records(0, 1, 0..2);
    script.records(0, 2, [5]);
    secs(1).await;
    assert_eq!(attempts.list(), [(0, 5)]);
    assert_eq!(script.commits(), [[(0, 2, 6)]]);
}

#[tokio::test(start_paused = true)]
async fn partitions_revoked_unknown_are_released_too() {
    let script = Script::default();
    let _running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.revoke(&[(3, 9)]);
    soon().await;
    assert_eq!(script.calls(), [Call::Release(vec![(3, 9)])]);
}
