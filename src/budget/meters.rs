use super::account::RETRY;
use crate::telemetry::{Counter, Gauge};

/// The metrics of one budget.
pub(super) struct Meters {
    balance: Gauge,
    withdrawn: Counter,
    refused: Counter,
}

impl Meters {
    /// Those of the budget `name`, which holds so much.
    pub(super) fn new(name: &str, balance: u64) -> Self {
        let of = [("budget", name)];
        let meters = Self {
            balance: Gauge::new("bowline.budget.balance", &of),
            withdrawn: Counter::new("bowline.budget.withdrawn", &of),
            refused: Counter::new("bowline.budget.refused", &of),
        };
        meters.show(balance);
        meters
    }

    /// So much is there, in parts of a retry.
    pub(super) fn show(&self, balance: u64) {
        self.balance.set(balance as f64 / RETRY as f64);
    }

    /// A retry was asked for.
    pub(super) fn asked(&self, granted: bool) {
        let counter = if granted {
            &self.withdrawn
        } else {
            &self.refused
        };
        counter.increment();
    }
}
