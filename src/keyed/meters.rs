use crate::telemetry::{Counter, Gauge};

/// The metrics of a registry.
pub(super) struct Meters {
    size: Gauge,
    evicted: Counter,
    overflowed: Counter,
}

impl Meters {
    /// Those of the registry `name`, which is empty.
    pub(super) fn new(name: &str) -> Self {
        let labels = [("keyed", name)];
        Self {
            size: Gauge::new("bowline.keyed.size", &labels),
            evicted: Counter::new("bowline.keyed.evicted", &labels),
            overflowed: Counter::new("bowline.keyed.overflowed", &labels),
        }
    }

    pub(super) fn kept(&self) {
        self.size.add(1.0);
    }

    /// So many keys were taken out.
    pub(super) fn removed(&self, keys: usize) {
        self.size
            .add(-f64::from(u32::try_from(keys).unwrap_or(u32::MAX)));
    }

    pub(super) fn evicted(&self) {
        self.evicted.increment();
        self.removed(1);
    }

    pub(super) fn overflowed(&self) {
        self.overflowed.increment();
    }
}
