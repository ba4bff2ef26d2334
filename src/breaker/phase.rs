use std::time::Duration;

use tokio::time::Instant;

use super::ticket::{Ticket, Ticks};
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
    successes: u32,
    failures: u32,
}

/// The place of a call. Calls that began at the same time are as good as each other.
#[derive(Debug)]
struct Held {
    by: Ticks,
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
            successes: 0,
            failures: 0,
        }
    }

    /// Takes a place for a call that begins now, or says how long to stay away.
    pub(super) fn take(&mut self, config: &Config, now: Instant) -> Result<(), Duration> {
        self.held.retain(|held| now < held.until);
        let taken = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        let used = taken
            .saturating_add(self.successes)
            .saturating_add(self.failures);
        if used < config.probes {
            let until = after(now, config.probe_lease);
            let by = Ticks::at(now);
            self.held.push(Held { by, until });
            return Ok(());
        }
        // A probe may answer at any moment, and gives its place back by its lease.
        let first = self.held.iter().map(|held| held.until).min();
        let freed = first.map_or(PROBING, |until| until.saturating_duration_since(now));
        Err(freed.min(PROBING))
    }

    /// Gives the place of a call back, unless its lease has ended and it is somebody else's.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        let its = |held: &Held| ticket.began() == Some(held.by);
        if let Some(index) = self.held.iter().position(its) {
            self.held.swap_remove(index);
        }
    }

    pub(super) fn answered(&mut self, good: bool, config: &Config) -> Verdict {
        let counter = if good {
            &mut self.successes
        } else {
            &mut self.failures
        };
        *counter = counter.saturating_add(1);
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
