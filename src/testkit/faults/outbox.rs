use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::Faulty;
use crate::error::Error;
use crate::outbox::{EntryId, Halted, Lease, Parked, Position, Settled, Status, Store, Window};

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
        from: Option<&Position>,
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        self.around("read", self.inner.read(lease, from, limit))
            .await
    }

    async fn set_aside(
        &self,
        lease: &Lease,
        held: &[Arc<str>],
        limit: NonZeroUsize,
    ) -> Result<Window, Error> {
        self.around("set aside", self.inner.set_aside(lease, held, limit))
            .await
    }

    async fn promote(&self, lease: &Lease, limit: NonZeroUsize) -> Result<Option<Duration>, Error> {
        self.around("promote", self.inner.promote(lease, limit))
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

    async fn trying(&self, lease: &Lease, row: Option<EntryId>) -> Result<(), Error> {
        self.around("try", self.inner.trying(lease, row)).await
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
        self.around("tidy", self.inner.tidy()).await
    }

    async fn idle(&self, lease: &Lease) -> Result<(), Error> {
        self.around("idle", self.inner.idle(lease)).await
    }

    async fn busy(&self, lease: &Lease) -> Result<(), Error> {
        self.around("busy", self.inner.busy(lease)).await
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
