use std::sync::Arc;
use std::{fmt, iter};

use super::ended::Ended;
use super::{Reason, State};
use crate::classify::Outcome;
use crate::telemetry::{Counter, Gauge};

/// The metrics of one breaker.
pub(super) struct Meters {
    success: Counter,
    failure: Counter,
    ignored: Counter,
    cancelled: Counter,
    stale: Counter,
    rejected: Counter,
    slow: Counter,
    opened: [Counter; Reason::ALL.len()],
    states: [Gauge; State::ALL.len()],
}

impl Meters {
    /// Those of the breaker `name`, which is closed.
    pub(super) fn new(name: &str) -> Self {
        let counter = |metric, label: Option<(&'static str, &'static str)>| {
            let labels: Vec<_> = iter::once(("breaker", name)).chain(label).collect();
            Counter::new(metric, &labels)
        };
        let state = |state: State| {
            let labels = [("breaker", name), ("state", state.as_str())];
            Gauge::new("bowline.breaker.state", &labels)
        };
        let meters = Self::of(counter, state);
        meters.moved(None, Some(State::Closed));
        meters
    }

    /// Those of no breaker.
    pub(super) fn none() -> Self {
        Self::of(|_, _| Counter::none(), |_| Gauge::none())
    }

    fn of(
        counter: impl Fn(&'static str, Option<(&'static str, &'static str)>) -> Counter,
        state: impl Fn(State) -> Gauge,
    ) -> Self {
        let calls = |outcome| counter("bowline.breaker.calls", Some(("outcome", outcome)));
        let opened =
            |reason: Reason| counter("bowline.breaker.opened", Some(("reason", reason.as_str())));
        Self {
            success: calls("success"),
            failure: calls("failure"),
            ignored: calls("ignored"),
            cancelled: calls("cancelled"),
            stale: calls("stale"),
            rejected: calls("rejected"),
            slow: counter("bowline.breaker.slow_calls", None),
            opened: Reason::ALL.map(opened),
            states: State::ALL.map(state),
        }
    }

    #[inline]
    pub(super) fn ended(&self, ended: Ended) {
        match ended {
            Ended::Answered(Outcome::Success) => self.success.increment(),
            Ended::Answered(Outcome::Failure(_)) => self.failure.increment(),
            Ended::Answered(Outcome::Ignored) => self.ignored.increment(),
            Ended::Cancelled => self.cancelled.increment(),
        }
    }

    pub(super) fn stale(&self) {
        self.stale.increment();
    }

    pub(super) fn slow(&self) {
        self.slow.increment();
    }

    pub(super) fn rejected(&self) {
        self.rejected.increment();
    }

    pub(super) fn opened(&self, reason: Reason) {
        for (known, counter) in Reason::ALL.iter().zip(&self.opened) {
            if *known == reason {
                counter.increment();
            }
        }
    }

    /// One breaker less is in the one state and one more in the other: there may be more than one of this
    /// name.
    pub(super) fn moved(&self, from: Option<State>, to: Option<State>) {
        if from == to {
            return;
        }
        for (known, gauge) in State::ALL.iter().zip(&self.states) {
            if Some(*known) == from {
                gauge.add(-1.0);
            }
            if Some(*known) == to {
                gauge.add(1.0);
            }
        }
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

/// The meters of whichever breaker holds a place, to be found by calls that know the place only.
pub(super) struct Held(#[cfg(feature = "metrics")] arc_swap::ArcSwap<Meters>);

#[cfg(feature = "metrics")]
impl Held {
    pub(super) fn new(meters: &Arc<Meters>) -> Self {
        Self(arc_swap::ArcSwap::new(Arc::clone(meters)))
    }

    pub(super) fn put(&self, meters: &Arc<Meters>) {
        self.0.store(Arc::clone(meters));
    }

    #[inline]
    pub(super) fn with(&self, using: impl FnOnce(&Meters)) {
        using(&self.0.load());
    }
}

#[cfg(not(feature = "metrics"))]
#[expect(clippy::unused_self, reason = "the same as with the feature")]
impl Held {
    pub(super) fn new(_: &Arc<Meters>) -> Self {
        Self()
    }

    pub(super) fn put(&self, _: &Arc<Meters>) {}

    #[inline]
    pub(super) fn with(&self, _: impl FnOnce(&Meters)) {}
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}
