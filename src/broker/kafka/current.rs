use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::clock::after;

/// Since when a thread has been in the call that it makes now, if it makes one.
#[derive(Debug, Default)]
pub(super) struct Current(watch::Sender<Option<Instant>>);

impl Current {
    pub(super) fn begin(&self) {
        self.0.send_replace(Some(Instant::now()));
    }

    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    /// Waits until one call, of whomever, has taken longer than `limit`.
    pub(super) async fn hangs(&self, limit: Duration) {
        let mut current = self.0.subscribe();
        loop {
            let began = *current.borrow_and_update();
            // The sender is ours, so there is always a next change to wait for.
            let changed = current.changed();
            match began {
                None => drop(changed.await),
                Some(began) => {
                    if timeout_at(after(began, limit), changed).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const LIMIT: Duration = Duration::from_secs(50);

    #[tokio::test(start_paused = true)]
    async fn a_call_that_never_ends_is_found_also_by_those_who_come_later() {
        let (current, began) = (Current::default(), Instant::now());
        current.begin();
        current.hangs(LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT);
        current.hangs(LIMIT).await;
        assert_eq!(began.elapsed(), LIMIT, "at once");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_end_hang_never_however_many_there_are() {
        let current = Current::default();
        let calls = async {
            for _ in 0..20 {
                current.begin();
                sleep(LIMIT - Duration::from_millis(1)).await;
                current.end();
                sleep(LIMIT * 2).await;
            }
        };
        let hangs = current.hangs(LIMIT);
        tokio::select! {
            () = hangs => panic!("none of them hangs"),
            () = calls => {}
        }
        let idle = timeout(LIMIT * 20, current.hangs(LIMIT)).await;
        assert!(idle.is_err(), "nobody calls");
    }
}
