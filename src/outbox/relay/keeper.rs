use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::error::{Chain, Error};
use crate::outbox::{EntryId, Lease, Store};

/// Renews a lease in time.
#[derive(Debug)]
pub(super) struct Keeper<'a, S> {
    store: &'a S,
    lease: Lease,
    ttl: Duration,
    /// When the lease was asked for last.
    asked: Instant,
}

impl<'a, S: Store> Keeper<'a, S> {
    pub(super) fn new(store: &'a S, lease: Lease, ttl: Duration, asked: Instant) -> Self {
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

    /// It was decided on `row`, which its relays have ended with.
    pub(super) fn acquit(&mut self, row: EntryId) {
        self.lease.crashes.acquit(row);
    }

    /// Renews the lease again and again, until that is no use any more.
    pub(super) async fn keep(&mut self) -> Error {
        loop {
            sleep_until(self.asked + self.ttl / 3).await;
            if let Err(error) = self.renew().await {
                return error;
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
