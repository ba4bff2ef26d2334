//! A store whose calls are counted.

use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bowline::Error;
use bowline::error::Kind;
use bowline::outbox::{
    EntryId, Halted, Lease, Parked, Position, Progress, Settled, Status, Store, Window,
};
use tokio::time::sleep;

#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    counts: Arc<Counts>,
    hints: bool,
    /// How long it takes to settle.
    slow: Duration,
    /// How many times that fails.
    failures: Arc<AtomicU32>,
    /// How long it takes to give or renew a lease.
    slow_leases: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    reads: AtomicU32,
    hints: AtomicU32,
    settles: AtomicU32,
}

impl<S> Counted<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            counts: Arc::default(),
            hints: true,
            slow: Duration::ZERO,
            slow_leases: Duration::ZERO,
            failures: Arc::default(),
        }
    }

    /// Never says that something was committed.
    pub(crate) fn without_hints(mut self) -> Self {
        self.hints = false;
        self
    }

    /// Takes so long to settle.
    pub(crate) fn with_slow_settling(mut self, slow: Duration) -> Self {
        self.slow = slow;
        self
    }

    /// Takes so long to give or renew a lease.
    pub(crate) fn with_slow_leases(mut self, slow: Duration) -> Self {
        self.slow_leases = slow;
        self
    }

    /// Fails so many times to settle.
    pub(crate) fn with_failures(self, failures: u32) -> Self {
        self.failures.store(failures, Ordering::SeqCst);
        self
    }

    pub(crate) fn settles(&self) -> u32 {
        self.counts.settles.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> u32 {
        self.counts.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn hints(&self) -> u32 {
        self.counts.hints.load(Ordering::SeqCst)
    }
}

impl<S: Store> Store for Counted<S> {
    async fn lease(&self, owner: &str, ttl: Duration) -> Result<Option<Lease>, Error> {
        if !self.slow_leases.is_zero() {
            sleep(self.slow_leases).await;
        }
        self.inner.lease(owner, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.release(lease).await
    }

    async fn progress(&self, lease: &Lease) -> Result<Progress, Error> {
        self.inner.progress(lease).await
    }

    async fn read(
        &self,
        lease: &Lease,
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read(lease, from, limit).await
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        self.inner.set_aside(lease, held, limit).await
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.inner.promote(lease, limit).await
    }

    async fn idle(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.idle(lease).await
    }

    async fn busy(&self, lease: &Lease) -> Result<(), Error> {
        self.inner.busy(lease).await
    }

    async fn settle(
        &self,
        lease: &Lease,
        window: &Window,
        settled: &[Settled],
    ) -> Result<(), Error> {
        self.counts.settles.fetch_add(1, Ordering::SeqCst);
        if !self.slow.is_zero() {
            sleep(self.slow).await;
        }
        let fewer = |failures: u32| failures.checked_sub(1);
        let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
        if self.failures.fetch_update(set, fetch, fewer).is_ok() {
            return Err(Error::new(Kind::Unavailable, "test", "settle"));
        }
        self.inner.settle(lease, window, settled).await
    }

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        self.inner.trying(lease, row).await
    }

    async fn halt(&self, reason: &str) -> Result<(), Error> {
        self.inner.halt(reason).await
    }

    async fn resume(&self) -> Result<(), Error> {
        self.inner.resume().await
    }

    async fn halted(&self) -> Result<Option<Halted>, Error> {
        self.inner.halted().await
    }

    async fn tidy(&self) -> Result<(), Error> {
        self.inner.tidy().await
    }

    async fn committed(&self) {
        if !self.hints {
            pending::<()>().await;
        }
        self.inner.committed().await;
        self.counts.hints.fetch_add(1, Ordering::SeqCst);
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
