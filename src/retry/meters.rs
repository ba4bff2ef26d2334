use std::{fmt, iter};

use super::exhausted::Exhausted;
use crate::classify::Outcome;
use crate::telemetry::Counter;

/// The metrics of one retry.
pub(super) struct Meters {
    success: Counter,
    failure: Counter,
    ignored: Counter,
    given_up: Counter,
    retries: Counter,
    exhausted: [Counter; Exhausted::ALL.len()],
}

impl Meters {
    /// Those of the retry `name`.
    pub(super) fn new(name: &str) -> Self {
        let counter = |metric, label: Option<(&'static str, &'static str)>| {
            let labels: Vec<_> = iter::once(("retry", name)).chain(label).collect();
            Counter::new(metric, &labels)
        };
        let calls = |outcome| counter("bowline.retry.calls", Some(("outcome", outcome)));
        let exhausted =
            |why: Exhausted| counter("bowline.retry.exhausted", Some(("reason", why.as_str())));
        Self {
            success: calls("success"),
            failure: calls("failure"),
            ignored: calls("ignored"),
            given_up: calls("exhausted"),
            retries: counter("bowline.retry.retries", None),
            exhausted: Exhausted::ALL.map(exhausted),
        }
    }

    /// A call has ended with a result that is returned as it is.
    #[inline]
    pub(super) fn ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::Success => self.success.increment(),
            Outcome::Failure(_) => self.failure.increment(),
            Outcome::Ignored => self.ignored.increment(),
        }
    }

    /// A call has ended that could have been tried again.
    pub(super) fn exhausted(&self, why: Exhausted) {
        self.given_up.increment();
        for (known, counter) in Exhausted::ALL.iter().zip(&self.exhausted) {
            if *known == why {
                counter.increment();
            }
        }
    }

    pub(super) fn retry(&self) {
        self.retries.increment();
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}
