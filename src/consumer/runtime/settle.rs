use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Flight, Lane, Owed, Runtime};
use crate::broker::{Assignment, Commit, Subscriber};
use crate::error::{Chain, Error, Kind};

/// How long a partition whose handlers have had all their time is kept for the last commit: some round
/// trips. Given back at once, its commit would come too late.
const COMMIT_PATIENCE: Duration = Duration::from_millis(500);

/// What is owed to the broker: commits, and partitions to give back.
impl<S: Subscriber> Runtime<S> {
    /// Begins to commit when it is time to, and releases revoked partitions that are drained.
    pub(super) async fn settle(&mut self) {
        let flows = self.work.take_reports();
        self.set_flows(flows);
        let now = Instant::now();
        let drained = self.drained(now);
        self.abandon(&drained, now);
        let commits = &self.work.commits;
        let is_due = commits.due().is_some_and(|due| due <= now);
        if is_due || (!drained.is_empty() && !commits.is_waiting(now)) {
            self.begin_commit();
        }
        self.release(drained, now).await;
        self.look(now);
    }

    /// Begins to commit everything that is not, unless a commit is on its way.
    fn begin_commit(&mut self) {
        if self.flight.is_some() {
            // Its answer decides what is due next.
            self.work.commits.settled();
            return;
        }
        let owed = self.queued.pop_front().unwrap_or_else(|| self.owed());
        self.work.commits.begun();
        if !owed.is_empty() {
            let commits: Vec<_> = owed.iter().map(|owed| owed.commit.clone()).collect();
            let answer = Box::pin(self.subscriber.commit(&commits));
            self.flight = Some(Flight {
                owed,
                answer,
                answered: None,
            });
        }
    }

    fn owed(&mut self) -> Vec<Owed> {
        let max_metadata = self.max_metadata;
        let lanes = self.work.lanes.iter_mut();
        let owed = lanes.filter_map(|(id, lane)| {
            let (version, commit) = lane.owed(max_metadata)?;
            let lane = *id;
            Some(Owed {
                lane,
                version,
                commit,
            })
        });
        owed.collect()
    }

    /// Takes in the broker's answer. When it cannot now, it is tried again later.
    ///
    /// Fails only when the subscriber is of no use any more.
    pub(super) fn commit_answered(&mut self, answer: Result<(), Error>) -> Result<(), Error> {
        let Some(Flight { owed, .. }) = self.flight.take() else {
            return Ok(());
        };
        match answer {
            Ok(()) => {
                self.committed(owed);
                self.work.commits.settled();
            }
            // One of several assignments has ended, and nobody says which.
            Err(error) if error.kind() == Kind::Fenced && owed.len() > 1 => {
                self.queued.extend(owed.into_iter().map(|one| vec![one]));
            }
            Err(error) if error.kind() == Kind::Fenced => {
                for Owed { lane, commit, .. } in owed {
                    tracing::warn!(group = %self.group, partition = %commit.assignment.partition,
                        "results came after the assignment ended, they are dropped");
                    self.work.meters.commit_fenced();
                    self.work.remove(lane);
                }
            }
            // The broker takes less than it is said to. Positions matter more than what is beyond them.
            Err(error) if error.kind() == Kind::TooLarge && self.max_metadata > 0 => {
                tracing::warn!(group = %self.group, error = %Chain(&error),
                    "commits go without metadata from now on");
                self.max_metadata = 0;
                self.queued.clear();
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
            self.work.commits.records_done(1);
        }
        Ok(())
    }

    fn owes_a_commit(&self) -> bool {
        self.work.lanes.values().any(Lane::is_dirty)
    }

    /// Commits everything and waits for it, also through transient failures.
    pub(super) async fn commit_all(&mut self) -> Result<(), Error> {
        loop {
            if let Some(flight) = &mut self.flight {
                let answer = flight.answer().await;
                self.commit_answered(answer)?;
            } else if !self.owes_a_commit() {
                return Ok(());
            } else {
                let now = Instant::now();
                if self.work.commits.is_waiting(now)
                    && let Some(due) = self.work.commits.due()
                {
                    sleep_until(due).await;
                }
                self.begin_commit();
            }
        }
    }

    fn committed(&mut self, owed: Vec<Owed>) {
        for Owed {
            lane,
            version,
            commit: Commit { committed, .. },
        } in owed
        {
            if let Some(lane) = self.work.lanes.get_mut(&lane) {
                lane.committed(version, committed);
            }
        }
        self.work.status.committed();
        self.work.meters.committed();
    }

    fn commit_failed(&mut self, error: &Error) {
        let delay = self.work.commits.failed();
        self.work.meters.commit_failed();
        tracing::warn!(group = %self.group, error = %Chain(error), retry_in = ?delay, "cannot commit");
    }

    fn drained(&self, now: Instant) -> Vec<Assignment> {
        let is_drained = |revoked: &&Assignment| {
            let lane = self.work.lane(revoked);
            lane.is_none_or(|lane| lane.is_drained(now))
        };
        self.revoked.iter().filter(is_drained).cloned().collect()
    }

    /// Ends what runs of those that have had all their time.
    fn abandon(&mut self, drained: &[Assignment], now: Instant) {
        for assignment in drained {
            let lane = self.work.find(assignment);
            let lane = lane.and_then(|lane| self.work.lanes.get_mut(&lane));
            if let Some(lane) = lane.filter(|lane| lane.is_overdue(now) && !lane.is_abandoned()) {
                lane.abandon(now + COMMIT_PATIENCE);
            }
        }
    }

    /// Gives back those of `drained` of which nothing runs and no commit is owed, or that have waited for
    /// it long enough.
    async fn release(&mut self, mut drained: Vec<Assignment>, now: Instant) {
        drained.retain(|assignment| {
            let lane = self.work.lane(assignment);
            let is_clear = |lane: &Lane| lane.is_idle() && !lane.is_dirty();
            lane.is_none_or(|lane| is_clear(lane) || lane.is_overdue(now))
        });
        if drained.is_empty() {
            return;
        }
        for assignment in &drained {
            if let Some(lane) = self.work.find(assignment) {
                self.work.remove(lane);
            }
        }
        self.revoked.retain(|revoked| !drained.contains(revoked));
        // They are given up in any case; a broker that is gone for good says so at the next poll.
        let release = self.subscriber.release(&drained);
        if let Err(error) = along(&mut self.flight, release).await {
            tracing::warn!(group = %self.group, error = %Chain(&error), "cannot release partitions");
        }
    }
}

/// Waits for `call`, and lets a commit that is on its way go on: the back-end may hold in it what the call
/// waits for.
async fn along<T>(flight: &mut Option<Flight>, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    if let Some(flight) = flight {
        tokio::select! {
            biased;
            done = &mut call => return done,
            answer = flight.answer() => flight.answered = Some(answer),
        }
    }
    call.await
}
