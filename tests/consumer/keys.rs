//! Order by key: what waits for what, and what a restart repeats.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline::broker::{Delivery, Memory, Publisher, Record, Topics};
use bowline::consumer::{Consumer, Order};
use bowline::error::{BoxError, Kind};
use bowline::shutdown::Shutdown;
use proptest::prelude::*;
use tokio::time::{Instant, sleep};
use tower::{Service, service_fn};

use crate::script::{Attempts, GROUP, Script, TOPIC, run_with, secs, soon};

fn keyed(key: &str) -> Record {
    Record::new(TOPIC, "{}").with_key(key.to_owned())
}

fn at_most(limit: usize) -> NonZeroUsize {
    NonZeroUsize::new(limit).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_key_that_waits_holds_up_no_other_and_its_later_records_stay_behind() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, _| async move {
        if offset == 0 {
            pending::<()>().await;
        }
        Ok(())
    });
    let _running = run_with(&script, handler, |builder| builder);
    script.assign(&[(0, 1)]);
    for (offset, key) in (0..).zip(["a", "b", "a", "c"]) {
        script.record(0, 1, offset, keyed(key));
    }
    secs(1).await;
    assert_eq!(attempts.list(), [(0, 0), (0, 1), (0, 3)]);
    let commit = script.committed(0).unwrap();
    assert_eq!(commit.next, 0, "the watermark waits for the first");
    assert!(commit.metadata.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_done_beyond_the_watermark_is_not_repeated_after_a_restart() {
    let script = Script::default();
    let attempts = Attempts::default();
    let stuck = attempts.handler(|_, offset, _| async move {
        if offset % 3 == 0 {
            pending::<()>().await;
        }
        Ok(())
    });
    let running = run_with(&script, stuck, |builder| builder);
    script.assign(&[(0, 1)]);
    for offset in 0..9 {
        script.record(0, 1, offset, keyed(&offset.to_string()));
    }
    secs(1).await;
    let committed = script.committed(0).unwrap();
    running.ended.abort();

    let (script, attempts) = (Script::default(), Attempts::default());
    let handler = attempts.handler(|_, _, _| async { Ok(()) });
    let _running = run_with(&script, handler, |builder| builder);
    script.assign_at(0, 1, committed);
    for offset in 0..11 {
        script.record(0, 1, offset, keyed(&offset.to_string()));
    }
    secs(1).await;
    assert_eq!(attempts.list(), [(0, 0), (0, 3), (0, 6), (0, 9), (0, 10)]);
    let committed = script.committed(0).unwrap();
    assert_eq!((committed.next, committed.metadata), (11, None));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_again_and_again_takes_no_room_while_it_waits() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, _| async move {
        match offset {
            0 => Err("never".into()),
            _ => Ok(()),
        }
    });
    let running = run_with(&script, handler, |builder| {
        builder.with_concurrency(at_most(1))
    });
    script.assign(&[(0, 1)]);
    for (offset, key) in (0..).zip(["a", "b", "a", "b", "c"]) {
        script.record(0, 1, offset, keyed(key));
    }
    secs(60).await;
    let list = attempts.list();
    assert!(list.iter().filter(|one| **one == (0, 0)).count() > 3);
    assert!(!list.contains(&(0, 2)), "its later record stays behind");
    assert!(
        [1, 3, 4]
            .into_iter()
            .all(|offset| list.contains(&(0, offset)))
    );
    let partition = running.status.snapshot().partitions[0].clone();
    assert_eq!(partition.backlog, 2);
    assert!(partition.failed_attempts > 3);
}

#[tokio::test(start_paused = true)]
async fn no_more_records_are_with_the_handler_than_allowed() {
    let script = Script::default();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        service_fn(move |_: Delivery| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                sleep(Duration::from_millis(10)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, BoxError>(())
            }
        })
    };
    let consumer = run_with(&script, handler, |builder| {
        builder.with_concurrency(at_most(3)).with_order(Order::None)
    });
    script.assign(&[(0, 1)]);
    let began = Instant::now();
    script.records(0, 1, 0..12);
    while consumer.status.snapshot().done < 12 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(began.elapsed() < Duration::from_millis(60));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_takes_too_long_is_a_failed_attempt() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, _, before| async move {
        if before < 2 {
            pending::<()>().await;
        }
        Ok(())
    });
    let running = run_with(&script, handler, |builder| {
        builder.with_deadline(Duration::from_secs(1))
    });
    script.assign(&[(0, 1)]);
    script.record(0, 1, 0, keyed("a"));
    secs(60).await;
    let snapshot = running.status.snapshot();
    assert_eq!((snapshot.failed_attempts, snapshot.done), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_never_done_bounds_how_much_is_read_after_it() {
    let script = Script::default();
    let attempts = Attempts::default();
    let handler = attempts.handler(|_, offset, _| async move {
        if offset == 0 {
            pending::<()>().await;
        }
        Ok(())
    });
    let _running = run_with(&script, handler, |builder| {
        builder.with_queue(at_most(4)).with_window(at_most(10))
    });
    script.assign(&[(0, 1)]);
    for offset in 0..30 {
        script.record(0, 1, offset, keyed(&offset.to_string()));
        soon().await;
    }
    assert!(script.is_paused(0));
    assert_eq!(attempts.list().len(), 10);
}

/// Metadata matters less than the position: a broker that takes less than it says gets none.
#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_the_metadata_gets_the_position_alone() {
    let script = Script::default();
    let handler = Attempts::default().handler(|_, offset, _| async move {
        if offset == 1 {
            pending::<()>().await;
        }
        Ok(())
    });
    let _running = run_with(&script, handler, |builder| builder);
    script.assign(&[(0, 1)]);
    script.fail_commit(Kind::TooLarge);
    for offset in 0..4 {
        script.record(0, 1, offset, keyed(&offset.to_string()));
    }
    secs(1).await;
    let committed = script.committed(0).unwrap();
    assert_eq!((committed.next, committed.metadata), (1, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any keys, failures, times, limits and two restarts: each key's records are done in order,
    /// none is lost, and each is done at most once per start.
    #[test]
    fn keys_keep_their_order_through_failures_and_restarts(
        keys in proptest::collection::vec(0u8..6, 1..80),
        seed in any::<u64>(),
        concurrency in 1usize..9,
        queue in 1usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let done = runtime.block_on(restarted(&keys, seed, concurrency, queue));
        prop_assert!(!done.is_empty());
        let mut last: HashMap<u8, usize> = HashMap::new();
        let mut first = HashSet::new();
        for index in &done {
            // A repetition after a restart may begin anew, in order, from what was not committed.
            if first.insert(*index) {
                let before = last.insert(keys[*index], *index);
                prop_assert!(before.is_none_or(|before| before < *index), "{:?}", done);
            }
        }
        prop_assert_eq!(first.len(), keys.len(), "none is lost");
    }
}

/// What was done, in order, by three consumers one after the other, the first two killed.
async fn restarted(keys: &[u8], seed: u64, concurrency: usize, queue: usize) -> Vec<usize> {
    let broker = broker_of(keys).await;
    let done = Arc::new(Mutex::new(Vec::new()));
    let mut random = fastrand::Rng::with_seed(seed);
    for start in 0..3 {
        let consumer = Consumer::builder(broker.subscriber(), unsteady(&done, random.fork()))
            .group(GROUP)
            .topics([TOPIC])
            .with_concurrency(at_most(concurrency))
            .with_queue(at_most(queue))
            .with_commit_interval(Duration::from_millis(20))
            .build()
            .unwrap();
        let running = tokio::spawn(consumer.run(Shutdown::new().token()));
        if start < 2 {
            sleep(Duration::from_millis(random.u64(0..400))).await;
            running.abort();
            drop(running.await);
            continue;
        }
        let give_up = Instant::now() + Duration::from_secs(3_600);
        while done.lock().unwrap().iter().collect::<HashSet<_>>().len() < keys.len() {
            assert!(Instant::now() < give_up, "stuck");
            sleep(Duration::from_millis(5)).await;
        }
    }
    std::mem::take(&mut done.lock().unwrap())
}

/// A broker with one record for each key, its index the payload.
async fn broker_of(keys: &[u8]) -> Memory {
    let broker = Memory::new().with_session_timeout(Duration::from_millis(500));
    broker.create(TOPIC, 2.try_into().unwrap()).await.unwrap();
    let records = keys
        .iter()
        .enumerate()
        .map(|(index, key)| Record::new(TOPIC, index.to_string()).with_key(vec![*key]));
    for result in broker.publish(records.collect()).await {
        result.unwrap();
    }
    broker
}

/// A handler that takes its time and fails now and then; it notes what is done.
fn unsteady(
    done: &Arc<Mutex<Vec<usize>>>,
    random: fastrand::Rng,
) -> impl Service<Delivery, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
{
    let (done, random) = (Arc::clone(done), Arc::new(Mutex::new(random)));
    service_fn(move |delivery: Delivery| {
        let (done, random) = (Arc::clone(&done), Arc::clone(&random));
        async move {
            let (wait, fails) = {
                let mut random = random.lock().unwrap();
                (random.u64(0..30), random.u8(0..4) == 0)
            };
            sleep(Duration::from_millis(wait)).await;
            if fails {
                return Err(BoxError::from("again"));
            }
            let payload = delivery.record().payload.clone().unwrap();
            let index = std::str::from_utf8(&payload).unwrap().parse().unwrap();
            done.lock().unwrap().push(index);
            Ok(())
        }
    })
}
