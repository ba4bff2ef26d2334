use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::Machine;
use crate::breaker::mirror::{Face, Rejects};
use crate::breaker::phase::Phase;
use crate::breaker::ticket::Ticks;
use crate::breaker::window::Sums;
use crate::breaker::{Config, Snapshot, State, Window};

/// What there is to see.
impl Machine {
    /// The state at `now`, also when nobody has called since it changed.
    pub(in crate::breaker) fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Open { until, .. } if now >= until => State::HalfOpen,
            Phase::RampingUp { since } if self.ramp_is_over(since, now) => State::Closed,
            _ => self.phase.state(),
        }
    }

    fn ramp_is_over(&self, since: Instant, now: Instant) -> bool {
        let ramp = self.config.ramp_up;
        ramp.is_none_or(|ramp| ramp.share(now.saturating_duration_since(since)).is_none())
    }

    /// How long until an open breaker lets a probe through.
    fn retry_after(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open { until, .. } if now < until => Some(until - now),
            _ => None,
        }
    }

    pub(super) fn is_timed(&self) -> bool {
        self.config.timed().is_some()
    }

    /// What calls need to know without the lock.
    pub(in crate::breaker) fn face(&self) -> Face {
        let until = match self.phase {
            Phase::Open { until, .. } => Some(Some(Ticks::at(until))),
            Phase::ForcedOpen => Some(None),
            _ => None,
        };
        Face {
            generation: self.generation,
            passes: self.phase.passes_all(),
            saturated: self.is_saturated(),
            timed: self.is_timed(),
            clocked: matches!(self.config.window, Window::Time(_)),
            slow: match self.config.slow_call_rate {
                Some(_) => self.config.slow_call,
                None => Duration::MAX,
            },
            rejects: until.map(|until| Rejects {
                until,
                last_failure: self.last_failure,
            }),
        }
    }

    /// Whether one more success that was not slow would change nothing.
    pub(in crate::breaker) fn is_saturated(&self) -> bool {
        match self.phase {
            Phase::Disabled => true,
            Phase::Closed | Phase::MetricsOnly => {
                self.consecutive == 0 && self.window.is_saturated()
            }
            _ => false,
        }
    }

    pub(in crate::breaker) fn snapshot(&mut self, now: Instant) -> Snapshot {
        let Sums {
            calls,
            failures,
            slow,
        } = self.window.sums_at(now);
        Snapshot {
            name: self.name(),
            state: self.state(now),
            calls,
            failures,
            slow_calls: slow,
            consecutive_failures: self.consecutive,
            reason: self.reason,
            last_failure: self.last_failure,
            retry_after: self.retry_after(now),
            opened: self.opened,
            rejected: self.rejected,
            stale: self.stale,
        }
    }

    /// Whether forgetting it could not make it open later than it would have.
    pub(in crate::breaker) fn is_idle(&mut self, now: Instant) -> bool {
        let Sums { failures, slow, .. } = self.window.sums_at(now);
        let row_counts = self.config.consecutive_failures.is_some() && self.consecutive > 0;
        let mut listeners = self
            .subscribers
            .iter()
            .map(broadcast::Sender::receiver_count);
        self.state(now) == State::Closed
            && (failures, slow) == (0, 0)
            && !row_counts
            && listeners.all(|count| count == 0)
    }

    pub(in crate::breaker) fn config(&self) -> &Config {
        &self.config
    }
}
