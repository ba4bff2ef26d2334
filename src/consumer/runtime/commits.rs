use std::time::Duration;

use tokio::time::Instant;

use super::BROKER_BACKOFF;
use crate::backoff::Delays;

/// When to commit: some time after the first record that is not, at once when there are many, and
/// later and later while the broker cannot.
#[derive(Debug)]
pub(super) struct Commits {
    interval: Duration,
    failing: Option<Delays>,
    uncommitted: u32,
    due: Option<Instant>,
}

impl Commits {
    /// How many records are done at most before they are committed ahead of the interval: bounds
    /// what a fast consumer repeats after a crash.
    const MAX_UNCOMMITTED: u32 = 1_000;

    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            failing: None,
            uncommitted: 0,
            due: None,
        }
    }

    /// When the next commit is due; `None` while there is nothing to commit.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Records are done.
    pub(super) fn records_done(&mut self, records: u32) {
        let before = self.uncommitted;
        self.uncommitted = before.saturating_add(records);
        let many = before < Self::MAX_UNCOMMITTED && self.uncommitted >= Self::MAX_UNCOMMITTED;
        if many && self.failing.is_none() {
            self.due = Some(Instant::now());
        } else if self.due.is_none() {
            self.due = Some(Instant::now() + self.interval);
        }
    }

    /// A commit of everything is on its way; what is done from now on is due for itself.
    pub(super) fn begun(&mut self) {
        self.uncommitted = 0;
        self.due = None;
    }

    /// Everything that was done is committed, or is nobody's business any more.
    pub(super) fn settled(&mut self) {
        self.failing = None;
        self.uncommitted = 0;
        self.due = None;
    }

    /// The broker could not; says how long until the next try.
    pub(super) fn failed(&mut self) -> Duration {
        let delay = self
            .failing
            .get_or_insert_with(|| BROKER_BACKOFF.delays())
            .next()
            .unwrap_or_default();
        self.due = Some(Instant::now() + delay);
        delay
    }

    /// Whether the last commit failed and the next is not due yet.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.failing.is_some() && self.due.is_some_and(|due| due > now)
    }
}
