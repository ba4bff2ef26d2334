use crate::telemetry::Counter;

/// The metrics of one fallback.
pub(super) struct Meters {
    pub(super) used: Counter,
    pub(super) failed: Counter,
}

impl Meters {
    /// Those of the fallback `name`.
    pub(super) fn new(name: &str) -> Self {
        let counter = |metric| Counter::new(metric, &[("fallback", name)]);
        Self {
            used: counter("bowline.fallback.used"),
            failed: counter("bowline.fallback.failed"),
        }
    }
}
