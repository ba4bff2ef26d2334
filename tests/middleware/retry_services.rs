//! The services that attempts are made by: their readiness and their clones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bowline::error::BoxError;
use bowline::retry::Retry;
use tower::{Layer, Service, ServiceExt};

/// Fails the first `failing` calls, counts its clones, and panics when it is called without being ready.
struct Probe {
    failing: Arc<AtomicU32>,
    clones: Arc<AtomicU32>,
    is_ready: bool,
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, Ordering::SeqCst);
        Self {
            failing: Arc::clone(&self.failing),
            clones: Arc::clone(&self.clones),
            is_ready: false,
        }
    }
}

impl Service<()> for Probe {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was made ready");
        let failing = &self.failing;
        let fails = failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        std::future::ready(fails.map_or(Ok(()), |_| Err("down".into())))
    }
}

fn probe(
    attempts: u32,
) -> (
    impl Service<(), Error = BoxError> + Clone,
    [Arc<AtomicU32>; 2],
) {
    let [failing, clones] = [Arc::default(), Arc::default()];
    let probe = Probe {
        failing: Arc::clone(&failing),
        clones: Arc::clone(&clones),
        is_ready: false,
    };
    (retry(attempts).layer().layer(probe), [failing, clones])
}

fn retry(attempts: u32) -> Retry {
    Retry::builder().attempts(attempts).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_made_by_a_service_that_was_made_ready() {
    let (mut service, [failing, _]) = probe(4);
    // The first call has a clone of its own, the others share one.
    for failures in [3, 3, 1, 0, 3] {
        failing.store(failures, Ordering::SeqCst);
        assert!(service.ready().await.unwrap().call(()).await.is_ok());
    }
    failing.store(4, Ordering::SeqCst);
    assert!(service.clone().oneshot(()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_fail_clone_the_service_no_more_after_the_second() {
    let (mut service, [failing, clones]) = probe(3);
    for _ in 0..100 {
        assert!(service.ready().await.unwrap().call(()).await.is_ok());
    }
    assert_eq!(clones.load(Ordering::SeqCst), 2);
    // A call that fails clones it, once for all its attempts.
    failing.store(2, Ordering::SeqCst);
    assert!(service.ready().await.unwrap().call(()).await.is_ok());
    assert_eq!(clones.load(Ordering::SeqCst), 3);

    let (mut once, [_, clones]) = probe(1);
    for _ in 0..100 {
        assert!(once.ready().await.unwrap().call(()).await.is_ok());
    }
    assert_eq!(
        clones.load(Ordering::SeqCst),
        0,
        "there is no other attempt"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_changed_is_the_one_that_is_tried_again() {
    let [failing, clones] = [Arc::default(), Arc::default()];
    let probe = Probe {
        failing: Arc::clone(&failing),
        clones,
        is_ready: false,
    };
    let mut service = retry(2).layer().layer(probe);
    for _ in 0..2 {
        service.ready().await.unwrap().call(()).await.unwrap();
    }
    let other = Arc::new(AtomicU32::new(2));
    service.get_mut().failing = Arc::clone(&other);
    assert!(service.ready().await.unwrap().call(()).await.is_err());
    assert_eq!(other.load(Ordering::SeqCst), 0);
}
