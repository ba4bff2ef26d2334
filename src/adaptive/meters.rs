use std::fmt;

use super::state::Ended;
use crate::telemetry::{Counter, Gauge};

/// The metrics of one adaptive limit.
pub(super) struct Meters {
    success: Counter,
    dropped: Counter,
    ignored: Counter,
    cancelled: Counter,
    rejected: Counter,
    running: Gauge,
    limit: Gauge,
}

impl Meters {
    /// Those of the limit `name`.
    pub(super) fn new(name: &str) -> Self {
        let calls = |outcome| {
            let labels = [("adaptive", name), ("outcome", outcome)];
            Counter::new("bowline.adaptive.calls", &labels)
        };
        let labels = [("adaptive", name)];
        Self {
            success: calls("success"),
            dropped: calls("dropped"),
            ignored: calls("ignored"),
            cancelled: calls("cancelled"),
            rejected: calls("rejected"),
            running: Gauge::new("bowline.adaptive.running", &labels),
            limit: Gauge::new("bowline.adaptive.limit", &labels),
        }
    }

    #[inline]
    pub(super) fn entered(&self) {
        self.running.add(1.0);
    }

    #[inline]
    pub(super) fn left(&self, ended: Option<Ended>) {
        self.running.add(-1.0);
        match ended {
            Some(Ended::Answered) => self.success.increment(),
            Some(Ended::Dropped) => self.dropped.increment(),
            Some(Ended::Cancelled) => self.cancelled.increment(),
            None => self.ignored.increment(),
        }
    }

    pub(super) fn rejected(&self) {
        self.rejected.increment();
    }

    /// The limit is another; those of one name add up.
    pub(super) fn moved(&self, from: u32, to: u32) {
        self.limit.add(f64::from(to) - f64::from(from));
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
