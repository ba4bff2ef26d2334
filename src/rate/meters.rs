use std::time::Duration;

use crate::telemetry::{Counter, Histogram};

/// The metrics of a limiter, and of all that are made like it.
#[derive(Clone)]
pub(super) struct Meters {
    allowed: Counter,
    delayed: Counter,
    cancelled: Counter,
    rejected: Counter,
    wait: Histogram,
}

impl Meters {
    /// Those of the limiter `name`.
    pub(super) fn new(name: &str) -> Self {
        let calls = |outcome| {
            let labels = [("rate", name), ("outcome", outcome)];
            Counter::new("bowline.rate.calls", &labels)
        };
        Self {
            allowed: calls("allowed"),
            delayed: calls("delayed"),
            cancelled: calls("cancelled"),
            rejected: calls("rejected"),
            wait: Histogram::new("bowline.rate.wait", &[("rate", name)]),
        }
    }

    #[inline]
    pub(super) fn allowed(&self) {
        self.allowed.increment();
    }

    /// A call has a place to wait for, for so many nanoseconds.
    pub(super) fn delayed(&self, nanos: u64) {
        self.delayed.increment();
        self.wait.record(Duration::from_nanos(nanos));
    }

    /// A place was given back.
    pub(super) fn cancelled(&self) {
        self.cancelled.increment();
    }

    pub(super) fn rejected(&self) {
        self.rejected.increment();
    }
}
