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
        meters.moved(0, balance);
        meters
    }

    /// So much was there and so much is, in parts of a retry; budgets of one name add up.
    pub(super) fn moved(&self, from: u64, to: u64) {
        if from != to {
            let parts = to as f64 - from as f64;
            self.balance.add(parts / RETRY as f64);
        }
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
