//! How far behind a consumer is, and what asking for it must not do.

use std::future;
use std::time::Duration;

use bowline::broker::Committed;
use bowline::consumer::{Order, PartitionStatus};
use bowline::error::Kind;

use crate::script::{Attempts, Running, Script, run, run_with, secs, soon};

fn one(running: &Running) -> PartitionStatus {
    let snapshot = running.status.snapshot();
    snapshot.partitions.into_iter().next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn lag_counts_what_is_not_done_and_not_what_was_done_out_of_order() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, offset, _| async move {
        match offset {
            0 => future::pending().await,
            _ => Ok(()),
        }
    });
    let running = run_with(&script, handler, |builder| builder.with_order(Order::None));
    script.end(0, 10);
    script.assign(&[(0, 1)]);
    soon().await;
    let status = one(&running);
    assert_eq!((status.lag, status.watermark), (None, None));
    assert_eq!(running.status.snapshot().lag(), None);

    script.records(0, 1, [0, 1, 2, 5]);
    soon().await;
    let status = one(&running);
    // The first, and those after the last that came.
    assert_eq!(status.lag, Some(1 + 4));
    assert_eq!((status.watermark, status.committed), (Some(0), None));
    secs(1).await;
    assert_eq!(one(&running).committed, Some(0));

    script.end(0, 20);
    secs(5).await;
    assert_eq!(one(&running).lag, Some(1 + 14));
    assert_eq!(running.status.snapshot().lag(), Some(15));
}

#[tokio::test(start_paused = true)]
async fn lag_is_known_before_the_first_record_where_the_group_has_been() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.end(0, 10);
    script.end(1, 0);
    script.assign_at(0, 1, Committed::new(7));
    script.assign(&[(1, 1)]);
    soon().await;
    let snapshot = running.status.snapshot();
    let lags: Vec<_> = snapshot.partitions.iter().map(|one| one.lag).collect();
    assert_eq!(lags, [Some(3), Some(0)]);
    assert_eq!(snapshot.partitions[0].committed, Some(7));
}

#[tokio::test(start_paused = true)]
async fn the_age_is_that_of_the_oldest_record_that_is_not_done() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, offset, _| async move {
        secs(if offset == 0 { 10 } else { 20 }).await;
        Ok(())
    });
    let running = run_with(&script, handler, |builder| builder.with_order(Order::None));
    script.assign(&[(0, 1)]);
    soon().await;
    assert_eq!(running.status.snapshot().oldest(), None);
    script.records(0, 1, [0]);
    secs(3).await;
    script.records(0, 1, [1]);
    secs(5).await;
    let seconds = || one(&running).oldest.map(|age| age.as_secs());
    assert_eq!(seconds(), Some(8));
    secs(3).await;
    assert_eq!(seconds(), Some(8), "the first is done");
    secs(15).await;
    assert_eq!(seconds(), None);
}

#[tokio::test(start_paused = true)]
async fn a_broker_is_asked_every_few_seconds_however_many_records_come() {
    let script = Script::default();
    let _running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    secs(60).await;
    assert_eq!(script.asked(), 0, "there is nothing to ask for");
    script.assign(&[(0, 1)]);
    for offset in 0..1_000 {
        script.records(0, 1, [offset]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(script.asked(), 1 + 20 / 5 - 1);
}

#[tokio::test(start_paused = true)]
async fn who_wants_no_lag_asks_for_nothing() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, _, _| async { Ok(()) });
    let running = run_with(&script, handler, |builder| builder.without_lag());
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..5);
    secs(60).await;
    assert_eq!(script.asked(), 0);
    assert_eq!(one(&running).watermark, Some(5));
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_holds_nobody_up() {
    let script = Script::default();
    let attempts = Attempts::default();
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    let answered = script.hold_ends();
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..100);
    secs(60).await;
    script.assign(&[(1, 1)]);
    secs(60).await;
    assert_eq!(script.asked(), 1, "one question at a time");
    assert_eq!(attempts.list().len(), 100);
    assert_eq!(script.committed(0), Some(Committed::new(100)));
    answered.notify_one();
    secs(1).await;
    assert_eq!(script.asked(), 2, "the new partition has waited for it");
    running.shutdown.trigger();
    soon().await;
    assert!(running.ended.is_finished(), "nor does it hold up the end");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_cannot_tell_is_asked_again_and_nothing_else_happens() {
    let script = Script::default();
    let running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.end(0, 9);
    for kind in [Kind::Unavailable, Kind::Unauthorized, Kind::Other] {
        script.fail_ends(kind);
    }
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..4);
    secs(14).await;
    assert_eq!((script.asked(), one(&running).lag), (3, None));
    secs(2).await;
    assert_eq!((script.asked(), one(&running).lag), (4, Some(5)));
    assert!(!running.ended.is_finished());
}
