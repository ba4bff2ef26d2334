use std::time::Duration;

use bowline::backoff::Backoff;
use bowline::error::Kind;

use crate::script::{Attempts, Call, Script, run, run_with, secs, soon};

#[tokio::test(start_paused = true)]
async fn a_permanent_poll_error_ends_the_run_after_committing_what_is_done() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    script.fail_poll(Kind::Unauthorized);
    let error = running.ended.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert_eq!(script.calls().last(), Some(&Call::Close));
    assert!(running.status.snapshot().partitions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn transient_poll_errors_are_polled_through() {
    let script = Script::default();
    let attempts = Attempts::default();
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 1)]);
    for _ in 0..12 {
        script.fail_poll(Kind::Unavailable);
    }
    script.records(0, 1, 0..1);
    secs(8).await;
    assert_eq!(
        attempts.list(),
        [(0, 0)],
        "asked again at least every second"
    );
    assert!(!running.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_cannot_be_made_now_is_made_later() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    for _ in 0..5 {
        script.fail_commit(Kind::Timeout);
    }
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    secs(60).await;
    assert_eq!(script.commits(), [[(0, 1, 2)]]);
    assert!(!running.ended.is_finished());
}

/// While a group is rebalanced a commit may have to wait for as long as that takes.
#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_holds_nobody_up() {
    let script = Script::default();
    let attempts = Attempts::default();
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 1)]);
    let answered = script.hold_commits();
    script.records(0, 1, 0..2);
    secs(30).await;
    assert_eq!(script.commits(), [[(0, 1, 2)]]);
    script.records(0, 1, 2..5);
    secs(30).await;
    assert_eq!(attempts.list().len(), 5, "records are handled meanwhile");
    assert_eq!(script.commits().len(), 1, "one commit at a time");
    assert_eq!(script.left(), 0, "polling goes on");

    answered.notify_one();
    secs(30).await;
    assert_eq!(script.commits(), [[(0, 1, 2)], [(0, 1, 5)]]);
    answered.notify_one();
    secs(1).await;
    assert!(!running.ended.is_finished());
}

/// A member that never hears the end of a poll loses its partitions.
#[tokio::test(start_paused = true)]
async fn records_that_fail_again_and_again_let_a_slow_poll_come_to_its_end() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, _, _| async { Err("always".into()) });
    let often = Backoff::constant(Duration::from_millis(7));
    let _running = run_with(&script, handler, |builder| builder.with_backoff(often));
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..5);
    soon().await;
    script.poll_slowly(Duration::from_millis(50));
    script.records(0, 1, 5..8);
    secs(1).await;
    assert_eq!(script.left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_partition_waits_for_its_commit_but_not_for_ever() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    soon().await;
    script.fail_commit(Kind::Timeout);
    script.revoke(&[(0, 1)]);
    secs(1).await;
    let released = Call::Release(vec![(0, 1)]);
    assert_eq!(
        script.calls(),
        [Call::Commit(vec![(0, 1, 2)]), released.clone()]
    );

    script.assign(&[(0, 2)]);
    script.records(0, 2, 2..4);
    soon().await;
    for _ in 0..1_000 {
        script.fail_commit(Kind::Timeout);
    }
    script.revoke(&[(0, 2)]);
    secs(9).await;
    assert_eq!(script.calls().len(), 2);
    secs(2).await;
    assert_eq!(script.calls()[2..], [Call::Release(vec![(0, 2)])]);
    assert!(!running.ended.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_permanent_commit_error_ends_the_run() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..2);
    script.fail_commit(Kind::Unauthorized);
    let error = running.ended.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (Kind::Unauthorized, "commit")
    );
}

#[tokio::test(start_paused = true)]
async fn joining_is_tried_again_while_the_broker_is_away() {
    let script = Script::default();
    let attempts = Attempts::default();
    script.fail_subscribe(Kind::Unavailable);
    script.fail_subscribe(Kind::Unavailable);
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 1)]);
    script.records(0, 1, [0]);
    secs(60).await;
    assert_eq!(attempts.list(), [(0, 0)]);
    assert!(!running.ended.is_finished());

    let script = Script::default();
    script.fail_subscribe(Kind::NotFound);
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    assert_eq!(
        running.ended.await.unwrap().unwrap_err().kind(),
        Kind::NotFound
    );
}
