use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::{Chain, Error};
use crate::outbox::{EntryId, Lease, Store};

/// Renews a lease in time.
///
/// A renewal that has begun goes on from one wait to the next: begun anew with each, it would stand last in
/// every queue again and again, and never come to its end while the relay is busy.
pub(super) struct Keeper<'a, S> {
    store: &'a S,
    lease: Lease,
    ttl: Duration,
    /// When the lease was asked for last, of what has been answered.
    asked: Instant,
    /// When to ask next.
    due: Instant,
    /// What was asked, and when.
    renewal: Option<(Instant, Renewal<'a>)>,
}

/// In a box, once per renewal, as it outlasts the call that begins it.
type Renewal<'a> = Pin<Box<dyn Future<Output = Result<Option<Lease>, Error>> + Send + 'a>>;

impl<'a, S: Store> Keeper<'a, S> {
    pub(super) fn new(store: &'a S, lease: Lease, ttl: Duration, asked: Instant) -> Self {
        Self {
            store,
            lease,
            ttl,
            asked,
            due: asked + ttl / 3,
            renewal: None,
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
            let (asked, renewal) = match &mut self.renewal {
                Some(renewal) => renewal,
                None => {
                    sleep_until(self.due).await;
                    self.renewal.insert((Instant::now(), self.renew()))
                }
            };
            let (asked, renewed) = (*asked, renewal.await);
            self.renewal = None;
            if let Err(error) = self.answered(asked, renewed) {
                return error;
            }
        }
    }

    fn renew(&self) -> Renewal<'a> {
        let (store, owner, ttl) = (self.store, self.lease.owner.clone(), self.ttl);
        Box::pin(async move { store.lease(&owner, ttl).await })
    }

    fn answered(
        &mut self,
        asked: Instant,
        renewed: Result<Option<Lease>, Error>,
    ) -> Result<(), Error> {
        match renewed {
            Ok(Some(lease)) if lease.epoch == self.lease.epoch => {
                (self.asked, self.due) = (asked, asked + self.ttl / 3);
                Ok(())
            }
            Ok(_) => Err(self.lease.fenced("relay", "renew")),
            // While the lease is still good there is time for another try.
            Err(error) if error.is_transient() && self.asked + self.ttl > Instant::now() => {
                tracing::warn!(error = %Chain(&error), "the lease could not be renewed; trying again");
                self.due = Instant::now() + self.ttl / 10;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl<S> fmt::Debug for Keeper<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
