use std::time::Duration;

use tokio::time::Instant;

use super::{Config, State};
use crate::clock::after;

/// Where the state machine is, with what belongs to that state alone.
#[derive(Debug)]
pub(super) enum Phase {
    Closed,
    Disabled,
    ForcedOpen,
    HalfOpen(Probes),
    MetricsOnly,
    Open { since: Instant, until: Instant },
    RampingUp { since: Instant },
}

/// The places of a half-open breaker, and what the probes have said so far.
#[derive(Debug)]
pub(super) struct Probes {
    held: Vec<Held>,
    next: u32,
    successes: u32,
    failures: u32,
}

#[derive(Debug)]
struct Held {
    id: u32,
    until: Instant,
}

/// What the probes say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Recovered,
    Failed,
    Undecided,
}

/// How long to stay away while others probe, at most: nobody knows when they will have an answer.
const PROBING: Duration = Duration::from_secs(1);

impl Phase {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Disabled => State::Disabled,
            Self::ForcedOpen => State::ForcedOpen,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::MetricsOnly => State::MetricsOnly,
            Self::Open { .. } => State::Open,
            Self::RampingUp { .. } => State::RampingUp,
        }
    }

    /// Whether every call passes.
    pub(super) fn passes_all(&self) -> bool {
        matches!(self, Self::Closed | Self::Disabled | Self::MetricsOnly)
    }
}

impl Probes {
    pub(super) fn new() -> Self {
        Self {
            held: Vec::new(),
            next: 0,
            successes: 0,
            failures: 0,
        }
    }

    /// Takes a place, or says how long to stay away.
    pub(super) fn take(&mut self, config: &Config, now: Instant) -> Result<u32, Duration> {
        self.held.retain(|held| now < held.until);
        let taken = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let used = taken + self.successes + self.failures;
        if used < config.probes {
            let id = self.next;
            self.next = self.next.wrapping_add(1);
            let until = after(now, config.probe_lease);
            self.held.push(Held { id, until });
            return Ok(id);
        }
        // A probe may answer at any moment, and gives its place back by its lease.
        let first = self.held.iter().map(|held| held.until).min();
        let freed = first.map_or(PROBING, |until| until.saturating_duration_since(now));
        Err(freed.min(PROBING))
    }

    /// Gives the place `id` back; `false` when its lease had ended and it is somebody else's.
    pub(super) fn give_back(&mut self, id: u32, now: Instant) -> bool {
        let Some(index) = self.held.iter().position(|held| held.id == id) else {
            return false;
        };
        now < self.held.swap_remove(index).until
    }

    pub(super) fn answered(&mut self, good: bool, config: &Config) -> Verdict {
        let counter = if good {
            &mut self.successes
        } else {
            &mut self.failures
        };
        *counter += 1;
        let share = config.success_ratio.value() * f64::from(config.probes);
        if f64::from(self.successes) >= share {
            Verdict::Recovered
        } else if f64::from(config.probes - self.failures.min(config.probes)) < share {
            Verdict::Failed
        } else {
            Verdict::Undecided
        }
    }
}
