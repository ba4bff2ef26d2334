use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use bowline::bulkhead::Bulkhead;

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
                            std::thread::yield_now();
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
