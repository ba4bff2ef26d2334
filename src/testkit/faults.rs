//! A fault at one chosen step: run the work once per step and see that nothing is lost at any.
//!
//! [`Faults::wrap`] puts a store or a publisher behind the fault. Each of its calls is two steps: one
//! before the call has any effect, and one after it had all of it but nobody has heard so.

use std::future::{Future, pending};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::broker::{Appended, PublishError, Publisher, Record};
use crate::error::{Error, Kind};
use crate::outbox::{EntryId, Lease, Parked, Settled, Status, Store, Window};

/// What happens at the chosen step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the two ways to fail")]
pub enum Fault {
    /// The call fails with a transient error; the work goes on.
    Fail,
    /// The call never returns: drop the work then, as a crash would.
    Hang,
}

/// Counts steps, and fails at one of them. Clones count together.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Plan>);

#[derive(Debug)]
struct Plan {
    steps: AtomicU64,
    /// `None`: at no step.
    at: Option<(u64, Fault)>,
    struck: watch::Sender<bool>,
}

/// A store or a publisher that fails at the chosen step.
#[derive(Debug, Clone)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
}

impl Faults {
    /// Only counts the steps.
    #[must_use]
    pub fn none() -> Self {
        Self::new(None)
    }

    /// Does `fault` at `step`, counted from 1, and only once.
    #[must_use]
    pub fn at(step: u64, fault: Fault) -> Self {
        Self::new(Some((step, fault)))
    }

    fn new(at: Option<(u64, Fault)>) -> Self {
        Self(Arc::new(Plan {
            steps: AtomicU64::new(0),
            at,
            struck: watch::Sender::new(false),
        }))
    }

    /// `inner` behind the fault.
    #[must_use]
    pub fn wrap<T>(&self, inner: T) -> Faulty<T> {
        Faulty {
            inner,
            faults: self.clone(),
        }
    }

    /// How many steps there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.0.steps.load(Ordering::SeqCst)
    }

    /// Returns once the fault has happened; never, if it does not.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn struck(&self) {
        let mut struck = self.0.struck.subscribe();
        if struck.wait_for(|struck| *struck).await.is_err() {
            // Not possible while `self` holds the sender.
            pending::<()>().await;
        }
    }

    async fn step(&self, operation: &'static str) -> Result<(), Error> {
        let step = self.0.steps.fetch_add(1, Ordering::SeqCst) + 1;
        match self.0.at {
            Some((at, fault)) if at == step => {
                self.0.struck.send_replace(true);
                match fault {
                    Fault::Fail => Err(Error::new(Kind::Unavailable, "faults", operation)
                        .with_detail(format!("step {step}"))),
                    Fault::Hang => pending().await,
                }
            }
            _ => Ok(()),
        }
    }
}

impl<T> Faulty<T> {
    async fn around<R>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        self.faults.step(operation).await?;
        let result = call.await?;
        self.faults.step(operation).await?;
        Ok(result)
    }
}

impl<P: Publisher> Publisher for Faulty<P> {
    async fn publish(&self, batch: Vec<Record>) -> Vec<Result<Appended, PublishError>> {
        let count = batch.len();
        if self.faults.step("publish").await.is_err() {
            return fail(count, PublishError::not_sent);
        }
        let results = self.inner.publish(batch).await;
        match self.faults.step("publish").await {
            Ok(()) => results,
            Err(_) => fail(count, PublishError::unknown),
        }
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }
}

/// What becomes of a batch of `count` records whose answer was lost.
fn fail(count: usize, how: fn(Error) -> PublishError) -> Vec<Result<Appended, PublishError>> {
    let error = || Error::new(Kind::Unavailable, "faults", "publish");
    (0..count).map(|_| Err(how(error()))).collect()
}

/// Only what a relay does is counted; what an operator asks goes through.
impl<S: Store> Store for Faulty<S> {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        self.around("lease", self.inner.lease(owner, ttl)).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.around("release", self.inner.release(lease)).await
    }

    async fn read(
        &self,
        lease: &Lease,
        limit: NonZeroUsize,
        held: &[Arc<str>],
    ) -> Result<Window, Error> {
        self.around("read", self.inner.read(lease, limit, held))
            .await
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        self.around("settle", self.inner.settle(lease, window, settled))
            .await
    }

    async fn committed(&self) {
        self.inner.committed().await;
    }

    async fn status(&self) -> Result<Status, Error> {
        self.inner.status().await
    }

    async fn parked(&self, limit: NonZeroUsize) -> Result<Vec<Parked>, Error> {
        self.inner.parked(limit).await
    }

    async fn retry(&self, id: EntryId) -> Result<(), Error> {
        self.inner.retry(id).await
    }

    async fn discard(&self, id: EntryId) -> Result<(), Error> {
        self.inner.discard(id).await
    }
}
