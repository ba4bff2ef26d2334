use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Report;
use crate::outbox::Status;
use crate::telemetry::{Counter, Histogram, Level};

/// The metrics of one relay.
pub(super) struct Meters {
    outbox: Arc<str>,
    published: Counter,
    parked: Counter,
    aside: Counter,
    windows: Counter,
    failed: Counter,
    taken: Counter,
    ended: Counter,
    latency: Histogram,
}

/// The state of the outbox, as whoever holds the lease sees it. Dropping it sets it to zero.
pub(super) struct Levels {
    behind: Level,
    oldest_age: Level,
    aside: Level,
    parked: Level,
    parked_keys: Level,
}

impl Meters {
    pub(super) fn new(outbox: &Arc<str>) -> Self {
        let counter = |name| Counter::new(name, &[("outbox", outbox)]);
        let rows = |outcome| {
            let labels = [("outbox", &**outbox), ("outcome", outcome)];
            Counter::new("bowline.outbox.rows", &labels)
        };
        let leases = |change| {
            let labels = [("outbox", &**outbox), ("change", change)];
            Counter::new("bowline.outbox.leases", &labels)
        };
        Self {
            outbox: Arc::clone(outbox),
            published: rows("published"),
            parked: rows("parked"),
            aside: rows("aside"),
            windows: counter("bowline.outbox.windows"),
            failed: counter("bowline.outbox.failed_attempts"),
            taken: leases("taken"),
            ended: leases("ended"),
            latency: Histogram::new("bowline.outbox.latency", &[("outbox", outbox)]),
        }
    }

    /// Those of an outbox whose lease is ours now.
    pub(super) fn leased(&self) -> Levels {
        self.taken.increment();
        let level = |name| Level::new(name, &[("outbox", &*self.outbox)]);
        Levels {
            behind: level("bowline.outbox.behind"),
            oldest_age: level("bowline.outbox.oldest_age"),
            aside: level("bowline.outbox.aside"),
            parked: level("bowline.outbox.parked"),
            parked_keys: level("bowline.outbox.parked_keys"),
        }
    }

    /// That of a relay which may wait for an operator.
    pub(super) fn halted(&self) -> Level {
        Level::new("bowline.outbox.halted", &[("outbox", &self.outbox)])
    }

    pub(super) fn lease_ended(&self) {
        self.ended.increment();
    }

    pub(super) fn took(&self, took: Duration, rows: usize) {
        self.latency.record_many(took, rows);
    }

    pub(super) fn failed(&self, rows: usize) {
        self.failed.add(rows as u64);
    }

    pub(super) fn settled(&self, report: Report, windows: u64) {
        self.published.add(report.published as u64);
        self.parked.add(report.parked as u64);
        self.aside.add(report.aside as u64);
        self.windows.add(windows);
    }
}

impl Levels {
    pub(super) fn set(&mut self, status: &Status, now: DateTime<Utc>) {
        self.behind.set(status.pending);
        let age = status.oldest_age(now).unwrap_or_default();
        self.oldest_age.set(age.as_secs());
        self.aside.set(status.aside);
        self.parked.set(status.parked);
        self.parked_keys.set(status.parked_keys);
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
