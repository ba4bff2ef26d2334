use std::fmt;

use tokio::time::Instant;

use crate::telemetry::{Counter, Gauge, Histogram};

/// The metrics of one bulkhead.
pub(super) struct Meters {
    admitted: Counter,
    full: Counter,
    timed_out: Counter,
    given_up: Counter,
    running: Gauge,
    queued: Gauge,
    wait: Histogram,
}

impl Meters {
    /// Those of the bulkhead `name`, which is empty.
    pub(super) fn new(name: &str) -> Self {
        let calls = |outcome| {
            let labels = [("bulkhead", name), ("outcome", outcome)];
            Counter::new("bowline.bulkhead.calls", &labels)
        };
        let labels = [("bulkhead", name)];
        Self {
            admitted: calls("admitted"),
            full: calls("full"),
            timed_out: calls("timed_out"),
            given_up: calls("given_up"),
            running: Gauge::new("bowline.bulkhead.running", &labels),
            queued: Gauge::new("bowline.bulkhead.queued", &labels),
            wait: Histogram::new("bowline.bulkhead.wait", &labels),
        }
    }

    #[inline]
    pub(super) fn entered(&self) {
        self.admitted.increment();
        self.running.add(1.0);
    }

    #[inline]
    pub(super) fn left(&self) {
        self.running.add(-1.0);
    }

    pub(super) fn full(&self) {
        self.full.increment();
    }

    pub(super) fn queued(&self) {
        self.queued.add(1.0);
    }

    /// The wait that began then has come to its end, with a place or without.
    pub(super) fn waited(&self, began: Instant, granted: bool) {
        self.queued.add(-1.0);
        self.wait.record(began.elapsed());
        if !granted {
            self.timed_out.increment();
        }
    }

    pub(super) fn given_up(&self) {
        self.queued.add(-1.0);
        self.given_up.increment();
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
