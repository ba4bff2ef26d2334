use std::hint::spin_loop;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::thread::yield_now;
use std::time::Duration;

use bowline::bulkhead::Bulkhead;
use bowline::error::BoxError;
use tokio::time::Instant;
use tokio_test::{assert_pending, task};
use tower::{Layer as _, Service as _, service_fn};

use super::SECOND;

#[test]
fn many_threads_never_exceed_the_limit_and_are_never_refused_below_it() {
    const THREADS: u32 = 4;
    let counted = |limit| {
        let bulkhead = Bulkhead::builder("upstream").limit(limit).build().unwrap();
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Ok(permit) = bulkhead.try_acquire() {
                            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert_eq!(bulkhead.snapshot().running, 0);
        (most.into_inner(), bulkhead.snapshot().rejected)
    };
    assert!(counted(THREADS - 1).0 < THREADS);
    assert_eq!(counted(THREADS).1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_who_waits_is_forgotten_while_others_come_give_up_and_the_limit_changes() {
    let bulkhead = Bulkhead::builder("upstream")
        .limit(2)
        .queue(1_000)
        .max_wait(Duration::from_secs(600))
        .build()
        .unwrap();
    let mut tasks = Vec::new();
    for task in 0..16u32 {
        let bulkhead = bulkhead.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..500 {
                if (task + round) % 3 == 0 {
                    // Given up, perhaps just when its turn has come.
                    let mut waits = Box::pin(bulkhead.acquire());
                    drop(poll_once(waits.as_mut()).await);
                    tokio::task::yield_now().await;
                } else {
                    let permit = bulkhead.acquire().await.expect("a place in the end");
                    assert!(bulkhead.snapshot().running <= 4);
                    tokio::task::yield_now().await;
                    drop(permit);
                }
                if task == 0 {
                    bulkhead.resize(1 + round % 4).unwrap();
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let snapshot = bulkhead.snapshot();
    assert_eq!((snapshot.running, snapshot.queued), (0, 0));
    assert!(bulkhead.try_acquire().is_ok());
}

/// Polls once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn wait_for(flag: &AtomicBool) {
    let mut looks = 0;
    while !flag.load(Ordering::Acquire) {
        looks += 1;
        // Whoever is to set it may need this core for that.
        if looks < 1_000 {
            spin_loop()
        } else {
            yield_now()
        }
    }
}

/// Whose drop waits until a flag is set.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        wait_for(&self.0);
    }
}

/// A place that is given back twice is handed out twice, and two bulkheads are one then.
#[tokio::test]
async fn a_call_dropped_in_the_queue_with_the_last_handle_gives_the_bulkhead_back_once() {
    let bulkhead = |limit| {
        let builder = Bulkhead::builder("upstream").limit(limit).queue(1);
        builder.max_wait(600 * SECOND).build().unwrap()
    };
    let began = Instant::now();
    // A round takes some microseconds; the time is for a machine that has much else to do.
    for round in 0..20_000u32 {
        if began.elapsed() > SECOND / 2 {
            break;
        }
        let last = bulkhead(1);
        let permit = last.try_acquire().unwrap();
        let inner = service_fn(|_: Waits| async { Ok::<_, BoxError>(()) });
        let mut service = last.layer().layer(inner);
        let ended = Arc::new(AtomicBool::new(false));
        let mut queued = task::spawn(service.call(Waits(Arc::clone(&ended))));
        assert_pending!(queued.poll());
        drop((last, service));

        let (there, go) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                there.store(true, Ordering::Release);
                wait_for(&go);
                // The permit may end at any step of the other drop.
                (0..round % 100).for_each(|_| spin_loop());
                drop(permit);
                ended.store(true, Ordering::Release);
            });
            wait_for(&there);
            go.store(true, Ordering::Release);
            drop(queued);
        });
        let others = [1, 2, 3].map(bulkhead);
        let limits = others.each_ref().map(|other| other.snapshot().limit);
        assert_eq!(limits, [1, 2, 3], "round {round}");
    }
}
