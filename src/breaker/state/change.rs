use std::time::Duration;

use tokio::time::Instant;

use super::Machine;
use crate::breaker::opening::{OpenFor, Opening};
use crate::breaker::phase::Phase;
use crate::breaker::{Config, Reason, Transition};
use crate::classify::Failure;
use crate::clock::after;

/// How it opens and how it closes.
impl Machine {
    pub(super) fn open(&mut self, reason: Reason, now: Instant) -> Transition {
        self.times = self.times.saturating_add(1);
        self.note_opened(reason);
        self.reason = Some(reason);
        let scheduled = self.delays.next().unwrap_or(Config::OPEN_FOR);
        let until = after(now, scheduled.max(self.asked()));
        self.generation += 1;
        self.enter(Phase::Open { since: now, until })
    }

    pub(super) fn note_opened(&mut self, reason: Reason) {
        self.opened += 1;
        self.meters.opened(reason);
    }

    /// The function that is to say how long to stay open, and what it is told. It is somebody else's
    /// code, so it runs outside the lock.
    pub(in crate::breaker) fn opening(&self) -> Option<(OpenFor, Opening, u64)> {
        let open_for = self.open_for.clone()?;
        let reason = self.reason?;
        let opening = Opening {
            times: self.times,
            reason,
            last_failure: self.last_failure,
        };
        matches!(self.phase, Phase::Open { .. }).then_some((open_for, opening, self.generation))
    }

    /// Takes the function's answer, if it is still open for the same reason.
    pub(in crate::breaker) fn stay_open(&mut self, generation: u64, wait: Duration) {
        let asked = self.asked();
        if let Phase::Open { since, until } = &mut self.phase
            && self.generation == generation
        {
            *until = after(*since, wait.max(asked));
        }
    }

    /// How long the service itself asked us to stay away, within what the policy allows.
    fn asked(&self) -> Duration {
        match self.last_failure {
            Some(Failure::Throttled {
                retry_after: Some(asked),
            }) => asked.min(self.config.open_for.longest()),
            _ => Duration::ZERO,
        }
    }

    pub(super) fn recover(&mut self, now: Instant) -> Transition {
        self.generation += 1;
        self.forget();
        match self.config.ramp_up {
            Some(_) => self.enter(Phase::RampingUp { since: now }),
            None => self.closed(),
        }
    }

    pub(super) fn forget(&mut self) {
        self.window.clear();
        self.consecutive = 0;
        self.last_failure = None;
    }

    pub(super) fn closed(&mut self) -> Transition {
        self.delays = self.config.open_for.delays();
        self.times = 0;
        self.reason = None;
        self.enter(Phase::Closed)
    }
}
