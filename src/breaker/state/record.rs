use std::time::Duration;

use super::Machine;
use crate::breaker::ended::Ended;
use crate::breaker::phase::{Phase, Verdict};
use crate::breaker::ticket::{Moment, Ticket};
use crate::breaker::window::{Ending, Sums};
use crate::breaker::{Reason, Transition};
use crate::classify::{Failure, Outcome};
use crate::config::Ratio;

/// How outcomes are counted, and what follows from them.
impl Machine {
    /// Takes in how a call ended.
    pub(in crate::breaker) fn record(
        &mut self,
        ticket: Ticket,
        ended: Ended,
        mut now: Moment,
    ) -> Option<Transition> {
        if ticket.generation != self.generation {
            if ticket.generation >= self.born {
                self.note_stale();
            }
            return None;
        }
        if let Phase::HalfOpen(probes) = &mut self.phase {
            probes.give_back(ticket);
        }
        self.meters.ended(ended);
        let timed = ticket.is_timed() && self.is_timed();
        let took = timed.then(|| ticket.took(now.get()));
        let ending = self.judge(ended, took)?;
        match &mut self.phase {
            Phase::HalfOpen(probes) => {
                let good = !ending.failed && !ending.slow;
                match probes.answered(good, &self.config) {
                    Verdict::Recovered => Some(self.recover(now.get())),
                    Verdict::Failed => Some(self.open(Reason::Probes, now.get())),
                    Verdict::Undecided => None,
                }
            }
            Phase::Closed | Phase::RampingUp { .. } | Phase::MetricsOnly => self.count(ending, now),
            Phase::Disabled | Phase::ForcedOpen | Phase::Open { .. } => None,
        }
    }

    fn note_stale(&mut self) {
        self.stale += 1;
        self.meters.stale();
    }

    /// Whether and how a call counts.
    fn judge(&mut self, ended: Ended, took: Option<Duration>) -> Option<Ending> {
        let failed = match ended {
            Ended::Answered(Outcome::Success) => false,
            Ended::Answered(Outcome::Failure(failure)) => {
                self.last_failure = Some(failure);
                true
            }
            Ended::Cancelled if self.config.cancelled_is_failure(took) => {
                self.last_failure = Some(Failure::Transient);
                true
            }
            Ended::Answered(Outcome::Ignored) | Ended::Cancelled => return None,
        };
        let timed = self.config.slow_call_rate.and(took);
        let slow = timed.is_some_and(|took| took >= self.config.slow_call);
        if slow {
            self.meters.slow();
        }
        Some(Ending { failed, slow })
    }

    fn count(&mut self, ending: Ending, mut now: Moment) -> Option<Transition> {
        self.window.push(ending, &mut now);
        self.consecutive = if ending.failed {
            self.consecutive.saturating_add(1)
        } else {
            0
        };
        if matches!(self.phase, Phase::MetricsOnly) {
            return None;
        }
        self.broken_rule()
            .map(|reason| self.open(reason, now.get()))
    }

    fn broken_rule(&self) -> Option<Reason> {
        let config = &self.config;
        if config
            .consecutive_failures
            .is_some_and(|most| self.consecutive >= most)
        {
            return Some(Reason::ConsecutiveFailures);
        }
        let Sums {
            calls,
            failures,
            slow,
        } = self.window.sums();
        let broken = |rate: Option<Ratio>, part: u32| {
            part > 0
                && calls >= config.minimum_calls
                && rate.is_some_and(|rate| f64::from(part) >= rate.value() * f64::from(calls))
        };
        if broken(config.failure_rate, failures) {
            Some(Reason::FailureRate)
        } else if broken(config.slow_call_rate, slow) {
            Some(Reason::SlowCallRate)
        } else {
            None
        }
    }
}
