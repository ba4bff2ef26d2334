use tokio::time::Instant;
use tower::Service;

use super::Runtime;
use crate::broker::{Assignment, Delivery, Subscriber};
use crate::error::{BoxError, Chain, Error, Kind};

/// What is owed to the broker: commits, and partitions to give back.
impl<S, H> Runtime<S, H>
where
    S: Subscriber,
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    /// Commits when it is time to, and releases revoked partitions that are drained.
    ///
    /// Fails only when the subscriber is of no use any more.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        // Which workers have ended is asked first: what they reported is then in the channel.
        let drained = self.drained(now);
        self.take_reports();
        let is_due = self.commits.due().is_some_and(|due| due <= now);
        if is_due || (!drained.is_empty() && !self.commits.is_waiting(now)) {
            match self.commit().await {
                Err(error) if error.is_transient() => {}
                result => result?,
            }
        }
        self.release(drained, now).await;
        Ok(())
    }

    /// Commits every watermark that is not. When the broker cannot now, it is tried again later.
    pub(super) async fn commit(&mut self) -> Result<(), Error> {
        let next: Vec<_> = self
            .lanes
            .iter()
            .filter_map(|(assignment, lane)| {
                Some((assignment.clone(), lane.progress.uncommitted()?))
            })
            .collect();
        if !next.is_empty() {
            match self.subscriber.commit(&next).await {
                Ok(()) => self.committed(&next),
                Err(error) if error.kind() == Kind::Fenced => self.commit_each(&next).await?,
                Err(error) => return Err(self.commit_failed(error)),
            }
        }
        self.commits.settled();
        Ok(())
    }

    /// One of several assignments has ended, and nobody says which.
    async fn commit_each(&mut self, next: &[(Assignment, u64)]) -> Result<(), Error> {
        for one in next {
            let one = std::slice::from_ref(one);
            match self.subscriber.commit(one).await {
                Ok(()) => self.committed(one),
                Err(error) if error.kind() == Kind::Fenced => {
                    for (assignment, _) in one {
                        tracing::warn!(group = %self.group, partition = %assignment.partition,
                            "results came after the assignment ended, they are dropped");
                        self.remove(assignment);
                    }
                }
                Err(error) => return Err(self.commit_failed(error)),
            }
        }
        Ok(())
    }

    fn committed(&mut self, next: &[(Assignment, u64)]) {
        for (assignment, next) in next {
            if let Some(lane) = self.lanes.get_mut(assignment) {
                lane.progress.committed(*next);
            }
        }
        self.status.committed();
    }

    fn commit_failed(&mut self, error: Error) -> Error {
        let delay = self.commits.failed();
        tracing::warn!(group = %self.group, error = %Chain(&error), retry_in = ?delay, "cannot commit");
        error
    }

    fn drained(&self, now: Instant) -> Vec<Assignment> {
        self.revoked
            .iter()
            .filter(|revoked| {
                let lane = self.lanes.get(revoked);
                lane.is_none_or(|lane| lane.is_drained(now))
            })
            .cloned()
            .collect()
    }

    /// Gives back those of `drained` that owe no commit, or have had all their time.
    async fn release(&mut self, mut drained: Vec<Assignment>, now: Instant) {
        drained.retain(|assignment| {
            self.lanes
                .get(assignment)
                .is_none_or(|lane| lane.progress.uncommitted().is_none() || lane.is_overdue(now))
        });
        if drained.is_empty() {
            return;
        }
        for assignment in &drained {
            self.remove(assignment);
        }
        self.revoked.retain(|revoked| !drained.contains(revoked));
        // They are given up in any case; a broker that is gone for good says so at the next poll.
        if let Err(error) = self.subscriber.release(&drained).await {
            tracing::warn!(group = %self.group, error = %Chain(&error), "cannot release partitions");
        }
    }
}
