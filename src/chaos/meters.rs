use std::fmt;

use super::Injection;
use crate::telemetry::{Counter, Gauge};

/// The metrics of one chaos.
pub(super) struct Meters {
    enabled: Gauge,
    errors: Counter,
    delays: Counter,
}

impl Meters {
    /// Those of the chaos `name`, which is switched off.
    pub(super) fn new(name: &str) -> Self {
        let injected = |fault| {
            let labels = [("chaos", name), ("fault", fault)];
            Counter::new("bowline.chaos.injected", &labels)
        };
        Self {
            enabled: Gauge::new("bowline.chaos.enabled", &[("chaos", name)]),
            errors: injected("error"),
            delays: injected("latency"),
        }
    }

    /// It was switched on or off; those of one name add up.
    pub(super) fn switched(&self, enabled: bool) {
        self.enabled.add(if enabled { 1.0 } else { -1.0 });
    }

    pub(super) fn injected(&self, injection: Injection) {
        if injection.error {
            self.errors.increment();
        }
        if injection.latency.is_some() {
            self.delays.increment();
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
