use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Report;
use super::held::Held;
use crate::broker::{Appended, PublishError, Publisher, Record, SendStatus};
use crate::error::{Chain, Error, Kind};
use crate::outbox::{Entry, Lease, Settled, Store, Window};

/// The time during which a relay holds the lease; whatever it waits for, it renews the lease
/// meanwhile.
#[derive(Debug)]
pub(super) struct Tenure<'a, S> {
    store: &'a S,
    lease: Lease,
    ttl: Duration,
    /// When the lease was asked for last.
    asked: Instant,
}

impl<'a, S: Store> Tenure<'a, S> {
    pub(super) fn new(store: &'a S, lease: Lease, asked: Instant, ttl: Duration) -> Self {
        Self {
            store,
            lease,
            ttl,
            asked,
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Reads, publishes and settles one window.
    pub(super) async fn window<P: Publisher>(
        &mut self,
        publisher: &P,
        limit: NonZeroUsize,
        held: &mut Held,
    ) -> Result<(Report, Pause), Error> {
        let store = self.store;
        let lease = self.lease.clone();
        let topics = held.topics();
        let window = self.renewing(store.read(&lease, limit, &topics)).await??;
        if window.entries.is_empty() {
            return Ok((Report::default(), Pause::None));
        }
        let batch: Vec<Record> = window
            .entries
            .iter()
            .map(|entry| entry.record.clone())
            .collect();
        let results = self.renewing(publisher.publish(batch)).await?;
        let pause = hold(&window, &results, held);
        let (settled, report) = judge(&window, results);
        if !settled.is_empty() {
            self.renewing(store.settle(&lease, &window, &settled))
                .await??;
        }
        Ok((report, pause))
    }

    /// Waits for `least`, then until rows may have been committed, at most `poll`.
    pub(super) async fn idle(&mut self, least: Duration, poll: Duration) -> Result<(), Error> {
        let store = self.store;
        let hint = async {
            sleep(least).await;
            tokio::select! {
                () = store.committed() => {}
                () = sleep(poll) => {}
            }
        };
        // After a failure new rows are no reason to hurry.
        self.renewing(hint).await
    }

    /// Waits for `work` and renews the lease in time.
    ///
    /// Both go on at the same time: `work` may be a transaction that holds the very row which the
    /// renewal waits for, and must come to its end then.
    async fn renewing<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            let due = self.asked + self.ttl / 3;
            let renewed = async {
                sleep_until(due).await;
                self.renew().await
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                renewed = renewed => renewed?,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), Error> {
        let asked = Instant::now();
        match self.store.lease(&self.lease.owner, self.ttl).await {
            Ok(Some(lease)) if lease.epoch == self.lease.epoch => {
                self.asked = asked;
                Ok(())
            }
            Ok(_) => Err(self.lease.fenced("relay", "renew")),
            // While the lease is still good there is time for another try.
            Err(error) if error.is_transient() && self.asked + self.ttl > Instant::now() => {
                tracing::warn!(error = %Chain(&error), "the lease could not be renewed; trying again");
                sleep(self.ttl / 10).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether to wait before the next window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    Backoff,
    None,
}

/// Holds the topics that the broker refuses, by the publisher's answers, and those for which it fails
/// while it takes others. When it takes nothing at all, it needs a pause.
fn hold(window: &Window, results: &[Result<Appended, PublishError>], held: &mut Held) -> Pause {
    let mut pause = Pause::None;
    let takes_others = results.iter().any(Result::is_ok);
    for (Entry { record, .. }, result) in window.entries.iter().zip(results) {
        match result {
            Ok(_) => held.free(&record.topic),
            Err(error) if is_final(error) => {}
            Err(error) if is_of_topic(error) || takes_others => held.hold(&record.topic),
            // Held back by a record before it.
            Err(_) if held.holds(&record.topic) => {}
            Err(_) => pause = Pause::Backoff,
        }
    }
    pause
}

/// What to settle, by the publisher's answers.
fn judge(window: &Window, results: Vec<Result<Appended, PublishError>>) -> (Vec<Settled>, Report) {
    let mut settled = Vec::with_capacity(results.len());
    let mut report = Report::default();
    for (entry, result) in window.entries.iter().zip(results) {
        match result {
            Ok(_) => {
                report.published += 1;
                settled.push(Settled::Published(entry.id));
            }
            Err(error) if is_final(&error) => {
                report.parked += 1;
                settled.push(Settled::Parked(entry.id, Chain(error.error()).to_string()));
                tell(entry, &error, "parked");
            }
            Err(error) => {
                report.failed += 1;
                tell(entry, &error, "will be tried again");
            }
        }
    }
    (settled, report)
}

/// Whether the topic is the trouble: it is missing, or not for us.
fn is_of_topic(error: &PublishError) -> bool {
    error.status() == SendStatus::NotSent
        && matches!(error.error().kind(), Kind::NotFound | Kind::Unauthorized)
}

/// Whether the record itself is the trouble, so that the broker will never take it. A missing topic
/// or a missing right is not: once it is mended, everything goes on in order.
fn is_final(error: &PublishError) -> bool {
    error.status() == SendStatus::NotSent
        && matches!(
            error.error().kind(),
            Kind::Corrupt | Kind::Invalid | Kind::TooLarge
        )
}

fn tell(entry: &Entry, error: &PublishError, what: &'static str) {
    tracing::warn!(
        name: "bowline.outbox.publish",
        id = %entry.id,
        topic = %entry.record.topic,
        attempts = entry.attempts,
        error = %Chain(error),
        "{what}"
    );
}
