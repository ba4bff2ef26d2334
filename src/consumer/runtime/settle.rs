use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::{Flight, Runtime};
use crate::broker::{Assignment, Commit, Delivery, Subscriber};
use crate::error::{BoxError, Chain, Error, Kind};

/// What is owed to the broker: commits, and partitions to give back.
impl<S, H> Runtime<S, H>
where
    S: Subscriber,
    H: Service<Delivery, Response = ()> + Clone + Send + 'static,
    H::Error: Into<BoxError>,
    H::Future: Send + 'static,
{
    /// Begins to commit when it is time to, and releases revoked partitions that are drained.
    pub(super) async fn settle(&mut self) {
        let now = Instant::now();
        // Which workers have ended is asked first: what they reported is then in the channel.
        let drained = self.drained(now);
        self.take_reports();
        let is_due = self.commits.due().is_some_and(|due| due <= now);
        if is_due || (!drained.is_empty() && !self.commits.is_waiting(now)) {
            self.begin_commit();
        }
        self.release(drained, now).await;
    }

    /// Begins to commit every watermark that is not, unless a commit is on its way.
    fn begin_commit(&mut self) {
        if self.flight.is_some() {
            // Its answer decides what is due next.
            self.commits.settled();
            return;
        }
        let commits = self.queued.pop_front().unwrap_or_else(|| {
            let lanes = self.lanes.iter();
            let commits = lanes.filter_map(|(assignment, lane)| {
                let next = lane.progress.uncommitted()?;
                Some(Commit::new(assignment.clone(), next))
            });
            commits.collect()
        });
        self.commits.begun();
        if !commits.is_empty() {
            let answer = Box::pin(self.subscriber.commit(&commits));
            self.flight = Some(Flight { commits, answer });
        }
    }

    /// Takes in the broker's answer. When it cannot now, it is tried again later.
    ///
    /// Fails only when the subscriber is of no use any more.
    pub(super) fn commit_answered(&mut self, answer: Result<(), Error>) -> Result<(), Error> {
        let Some(Flight { commits, .. }) = self.flight.take() else {
            return Ok(());
        };
        match answer {
            Ok(()) => {
                self.committed(&commits);
                self.commits.settled();
            }
            // One of several assignments has ended, and nobody says which.
            Err(error) if error.kind() == Kind::Fenced && commits.len() > 1 => {
                self.queued.extend(commits.into_iter().map(|one| vec![one]));
            }
            Err(error) if error.kind() == Kind::Fenced => {
                for Commit { assignment, .. } in &commits {
                    tracing::warn!(group = %self.group, partition = %assignment.partition,
                        "results came after the assignment ended, they are dropped");
                    self.remove(assignment);
                }
            }
            Err(error) if error.is_transient() => {
                self.queued.clear();
                self.commit_failed(&error);
                return Ok(());
            }
            Err(error) => {
                self.commit_failed(&error);
                return Err(error);
            }
        }
        if !self.queued.is_empty() {
            self.begin_commit();
        } else if self.owes_a_commit() {
            // What was done meanwhile.
            self.commits.record_done();
        }
        Ok(())
    }

    fn owes_a_commit(&self) -> bool {
        let mut lanes = self.lanes.values();
        lanes.any(|lane| lane.progress.uncommitted().is_some())
    }

    /// Commits everything and waits for it, also through transient failures.
    pub(super) async fn commit_all(&mut self) -> Result<(), Error> {
        loop {
            if let Some(flight) = &mut self.flight {
                let answer = flight.answer.as_mut().await;
                self.commit_answered(answer)?;
            } else if !self.owes_a_commit() {
                return Ok(());
            } else {
                let now = Instant::now();
                if self.commits.is_waiting(now)
                    && let Some(due) = self.commits.due()
                {
                    sleep_until(due).await;
                }
                self.begin_commit();
            }
        }
    }

    fn committed(&mut self, commits: &[Commit]) {
        for commit in commits {
            if let Some(lane) = self.lanes.get_mut(&commit.assignment) {
                lane.progress.committed(commit.committed.next);
            }
        }
        self.status.committed();
    }

    fn commit_failed(&mut self, error: &Error) {
        let delay = self.commits.failed();
        tracing::warn!(group = %self.group, error = %Chain(error), retry_in = ?delay, "cannot commit");
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
