use std::future::{Ready, pending, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bowline::broker::{Delivery, REDRIVE_GROUP, Record};
use bowline::error::{BoxError, Rejected};
use bowline::message::Message;
use tokio::sync::Barrier;
use tokio::time;
use tower::Service;

use crate::script::{Attempts, GROUP, Script, TOPIC, run, secs, soon};

#[tokio::test(start_paused = true)]
async fn it_commits_only_what_the_handler_has_done() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, _| async move {
        if offset == 2 {
            pending::<()>().await;
        }
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..4);

    soon().await;
    assert_eq!(script.commits(), [] as [Vec<_>; 0], "before the interval");
    secs(60).await;
    assert_eq!(script.commits(), [[(0, 1, 2)]]);
    assert_eq!(attempts.list(), [(0, 0), (0, 1), (0, 2)]);

    let snapshot = running.status.snapshot();
    assert_eq!((snapshot.done, snapshot.in_flight()), (2, 1));
    assert_eq!(snapshot.partitions[0].backlog, 2);
    assert!(snapshot.since_commit.unwrap() > Duration::from_secs(59));
}

#[tokio::test(start_paused = true)]
async fn partitions_run_in_parallel() {
    let script = Script::default();
    let attempts = Attempts::default();
    let both = Arc::new(Barrier::new(2));
    let handler = attempts.handler(move |_, _, _| {
        let both = Arc::clone(&both);
        async move {
            both.wait().await;
            Ok(())
        }
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 0..3);
    secs(1).await;
    assert_eq!(script.commits(), [[(0, 1, 3), (1, 1, 3)]]);
}

#[tokio::test(start_paused = true)]
async fn offsets_with_gaps_are_committed_by_the_last_one() {
    let script = Script::default();
    let _running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, [3, 7, 100]);
    secs(1).await;
    assert_eq!(script.commits(), [[(0, 1, 101)]]);
}

#[tokio::test(start_paused = true)]
async fn many_records_are_committed_ahead_of_the_interval() {
    let script = Script::default();
    let _running = run(
        &script,
        Attempts::default().handler(|_, _, _| async { Ok(()) }),
    );
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..1_500);
    soon().await;
    assert_eq!(script.commits().len(), 1);
    assert!(script.commits()[0][0].2 >= 1_000);
    secs(1).await;
    assert_eq!(script.commits().last().unwrap(), &[(0, 1, 1_500)]);
}

#[tokio::test(start_paused = true)]
async fn an_error_holds_up_its_partition_and_no_other() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|partition, offset, before| async move {
        if (partition, offset) == (0, 1) && before < 20 {
            return Err("out of order".into());
        }
        Ok(())
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..3);
    script.records(1, 1, 0..3);
    while running.status.snapshot().failed_attempts < 10 {
        secs(1).await;
    }
    assert_eq!(script.commits(), [[(0, 1, 1), (1, 1, 3)]]);
    assert!(!attempts.list().contains(&(0, 2)));
    assert!(running.status.snapshot().partitions[0].failed_attempts >= 10);

    while running.status.snapshot().done < 6 {
        secs(1).await;
    }
    secs(1).await;
    assert_eq!(script.commits()[1..], [[(0, 1, 3)]]);
    assert_eq!(
        attempts.list().iter().filter(|one| **one == (0, 1)).count(),
        21
    );
    let first = running.status.snapshot().partitions[0].clone();
    assert_eq!((first.failed_attempts, first.backlog), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_next_attempt_waits_for_as_long_as_an_inner_pattern_asks() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, before| async move {
        if before == 0 {
            return Err(Rejected::circuit_open("mail", Duration::from_secs(90)).into());
        }
        Ok(())
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, [0]);
    secs(89).await;
    assert_eq!(attempts.list().len(), 1);
    secs(2).await;
    assert_eq!(attempts.list().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, before| {
        // In the call, then in the future.
        assert!(offset != 1 || before != 0, "in the call");
        async move {
            assert!(offset != 1 || before != 1, "in the future");
            Ok(())
        }
    });
    let running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..3);
    secs(60).await;
    assert_eq!(attempts.list(), [(0, 0), (0, 1), (0, 1), (0, 1), (0, 2)]);
    assert_eq!(script.commits().last().unwrap(), &[(0, 1, 3)]);
    assert_eq!(running.status.snapshot().failed_attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panicked_is_replaced_by_a_clone_of_the_original() {
    #[derive(Clone, Default)]
    struct PanicsOnce {
        calls: u32,
        seen: Arc<Mutex<Vec<u32>>>,
    }

    impl Service<Delivery> for PanicsOnce {
        type Response = ();
        type Error = BoxError;
        type Future = Ready<Result<(), BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Delivery) -> Self::Future {
            self.calls += 1;
            let mut seen = self.seen.lock().unwrap();
            seen.push(self.calls);
            let total = seen.len();
            drop(seen);
            assert_ne!(total, 2, "half way through a change of its state");
            ready(Ok(()))
        }
    }

    let script = Script::default();
    let service = PanicsOnce::default();
    let _running = run(&script, service.clone());
    script.assign(&[(0, 1)]);
    script.records(0, 1, 0..3);
    secs(60).await;
    assert_eq!(*service.seen.lock().unwrap(), [1, 2, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_pauses_the_partition_and_polling_goes_on() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|partition, _, _| async move {
        if partition == 0 {
            time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1), (1, 1)]);
    script.records(0, 1, 0..10);
    soon().await;
    assert!(script.is_paused(0) && !script.is_paused(1));
    assert_eq!(script.left(), 6, "the queue takes four records");

    let polls = script.polls();
    script.records(1, 1, 0..3);
    soon().await;
    assert!(
        attempts.list().contains(&(1, 2)),
        "the other partition goes on"
    );
    assert!(script.polls() > polls && script.is_paused(0));

    secs(1).await;
    assert!(script.is_paused(0), "three in the queue");
    secs(1).await;
    assert!(
        script.is_paused(0),
        "room at two, and the script filled it at once"
    );
    assert_eq!(script.left(), 4);
    secs(60).await;
    assert!(!script.is_paused(0));
    assert_eq!(script.commits().last().unwrap(), &[(0, 1, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_record_redriven_for_another_group_is_done_unhandled() {
    let script = Script::default();
    let attempts = Attempts::default();
    let running = run(&script, attempts.handler(|_, _, _| async { Ok(()) }));
    script.assign(&[(0, 1)]);
    let message = Message::new("task.created", "{}");
    for (offset, group) in [(0, "analytics"), (1, GROUP), (2, "")] {
        let record = Record::from_message(TOPIC, &message).unwrap();
        let record = record.with_header(REDRIVE_GROUP, group);
        script.record(0, 1, offset, record);
    }
    secs(1).await;
    assert_eq!(attempts.list(), [(0, 1)]);
    assert_eq!(script.commits(), [[(0, 1, 3)]]);
    assert_eq!(running.status.snapshot().done, 3);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_no_message_goes_to_the_handler_as_it_is() {
    let script = Script::default();
    let (seen, mut deliveries) = tokio::sync::mpsc::unbounded_channel();
    let handler = tower::service_fn(move |delivery: Delivery| {
        let seen = seen.clone();
        async move { seen.send(delivery).map_err(BoxError::from) }
    });
    let _running = run(&script, handler);
    script.assign(&[(0, 1)]);
    script.record(0, 1, 0, Record::new(TOPIC, "not a message"));
    let delivery = deliveries.recv().await.unwrap();
    assert!(delivery.message().is_err());
    assert_eq!(
        delivery.record().payload.as_deref(),
        Some(&b"not a message"[..])
    );
    assert_eq!(&**delivery.group(), GROUP);
}
