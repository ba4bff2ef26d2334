use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;
use super::{Config, Reason, State};
use crate::backoff::Delays;
use crate::clock::after;

/// The state machine: it is told the time and the outcomes, and says what follows from them.
#[derive(Debug)]
pub(super) struct Machine {
    config: Config,
    phase: Phase,
    window: Window,
    consecutive: u32,
    /// Grows with every change of state; an outcome of an older generation is stale.
    generation: u64,
    delays: Delays,
    pub(super) reason: Option<Reason>,
    pub(super) opened: u64,
    pub(super) rejected: u64,
}

#[derive(Debug)]
enum Phase {
    Closed,
    /// `None`: until somebody closes it by hand.
    Open(Option<Instant>),
    HalfOpen {
        successes: u32,
        probes: Vec<Probe>,
        next: u64,
    },
}

#[derive(Debug)]
struct Probe {
    id: u64,
    until: Instant,
}

/// A call that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) generation: u64,
    probe: Option<u64>,
}

/// How long to stay away while others probe, at most: nobody knows when they will have an answer.
const PROBING: Duration = Duration::from_secs(1);

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) reason: Option<Reason>,
}

impl Ticket {
    /// A call let through while closed, in `generation`.
    pub(super) fn closed(generation: u64) -> Self {
        Self {
            generation,
            probe: None,
        }
    }

    /// Whether the call holds the place of a probe.
    pub(super) fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

impl Machine {
    pub(super) fn new(config: Config) -> Self {
        Self {
            window: Window::new(config.window),
            delays: config.open_for.delays(),
            config,
            phase: Phase::Closed,
            consecutive: 0,
            generation: 0,
            reason: None,
            opened: 0,
            rejected: 0,
        }
    }

    /// Lets a call through, or says how long to stay away.
    pub(super) fn admit(
        &mut self,
        now: Instant,
    ) -> (Result<Ticket, Option<Duration>>, Option<Transition>) {
        let transition = self.wait_is_over(now).then(|| self.enter_half_open());
        let generation = self.generation;
        let admitted = match &mut self.phase {
            Phase::Closed => Ok(Ticket::closed(generation)),
            Phase::Open(until) => Err(until.map(|until| until.saturating_duration_since(now))),
            Phase::HalfOpen {
                successes,
                probes,
                next,
            } => {
                probes.retain(|probe| now < probe.until);
                let taken = u32::try_from(probes.len()).unwrap_or(u32::MAX);
                if successes.saturating_add(taken) < self.config.probes {
                    let id = *next;
                    *next += 1;
                    probes.push(Probe {
                        id,
                        until: after(now, self.config.probe_lease),
                    });
                    Ok(Ticket {
                        generation,
                        probe: Some(id),
                    })
                } else {
                    // A probe may answer at any moment, and gives its place back by its lease.
                    let first = probes.iter().map(|probe| probe.until).min();
                    let freed = first.map_or(PROBING, |until| until.saturating_duration_since(now));
                    Err(Some(freed.min(PROBING)))
                }
            }
        };
        self.rejected += u64::from(admitted.is_err());
        (admitted, transition)
    }

    /// Takes in how a call ended. `None` is a call that was dropped or ignored.
    pub(super) fn record(
        &mut self,
        ticket: Ticket,
        failed: Option<bool>,
        now: Instant,
    ) -> Option<Transition> {
        if ticket.generation != self.generation {
            return None;
        }
        match &mut self.phase {
            Phase::Closed => self.record_closed(failed?, now),
            Phase::Open(_) => None,
            Phase::HalfOpen {
                successes, probes, ..
            } => {
                let held = probes
                    .iter()
                    .position(|probe| Some(probe.id) == ticket.probe)?;
                probes.swap_remove(held);
                if failed? {
                    return Some(self.open(Reason::ProbeFailed, now));
                }
                *successes += 1;
                (*successes >= self.config.probes).then(|| self.close())
            }
        }
    }

    pub(super) fn force_open(&mut self) -> Option<Transition> {
        if matches!(self.phase, Phase::Open(None)) {
            return None;
        }
        self.reason = Some(Reason::Forced);
        self.opened += 1;
        Some(self.enter(Phase::Open(None)))
    }

    pub(super) fn reset(&mut self) -> Option<Transition> {
        let was_closed = matches!(self.phase, Phase::Closed);
        let transition = self.close();
        (!was_closed).then_some(transition)
    }

    /// The state at `now`: an open breaker whose wait is over counts as half-open.
    pub(super) fn state(&self, now: Instant) -> State {
        if self.wait_is_over(now) {
            State::HalfOpen
        } else {
            self.phase_state()
        }
    }

    /// How long until an open breaker lets a probe through.
    pub(super) fn retry_after(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open(until) if !self.wait_is_over(now) => {
                until.map(|until| until.saturating_duration_since(now))
            }
            _ => None,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether one more success would change nothing.
    pub(super) fn is_saturated(&self) -> bool {
        self.is_closed() && self.consecutive == 0 && self.window.is_saturated()
    }

    pub(super) fn window(&self) -> (u32, u32, u32) {
        (
            self.window.calls(),
            self.window.failures(),
            self.consecutive,
        )
    }

    fn record_closed(&mut self, failed: bool, now: Instant) -> Option<Transition> {
        self.window.push(failed);
        self.consecutive = if failed {
            self.consecutive.saturating_add(1)
        } else {
            0
        };
        let in_a_row = self
            .config
            .consecutive_failures
            .is_some_and(|most| self.consecutive >= most);
        if in_a_row {
            return Some(self.open(Reason::ConsecutiveFailures, now));
        }
        let (calls, failures) = (self.window.calls(), self.window.failures());
        let too_many = self.config.failure_rate.is_some_and(|rate| {
            failures > 0
                && calls >= self.config.minimum_calls
                && f64::from(failures) >= rate.value() * f64::from(calls)
        });
        too_many.then(|| self.open(Reason::FailureRate, now))
    }

    fn wait_is_over(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Open(Some(until)) if now >= until)
    }

    fn open(&mut self, reason: Reason, now: Instant) -> Transition {
        self.reason = Some(reason);
        self.opened += 1;
        let wait = self
            .delays
            .next()
            .unwrap_or(crate::backoff::Backoff::DEFAULT_CAP);
        self.enter(Phase::Open(Some(after(now, wait))))
    }

    fn enter_half_open(&mut self) -> Transition {
        self.enter(Phase::HalfOpen {
            successes: 0,
            probes: Vec::new(),
            next: 0,
        })
    }

    fn close(&mut self) -> Transition {
        self.window.clear();
        self.consecutive = 0;
        self.delays = self.config.open_for.delays();
        self.reason = None;
        self.enter(Phase::Closed)
    }

    fn enter(&mut self, phase: Phase) -> Transition {
        let from = self.phase_state();
        self.phase = phase;
        self.generation += 1;
        Transition {
            from,
            to: self.phase_state(),
            reason: self.reason,
        }
    }

    fn phase_state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open(_) => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }
}
