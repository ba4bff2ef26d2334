//! The state machine: what is in it, and how a call is let through.

mod change;
mod control;
mod record;
mod view;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::ended::Refused;
use super::meters::Meters;
use super::opening::OpenFor;
use super::phase::{Phase, Probes};
use super::ticket::Ticket;
use super::window::Tally;
use super::{Config, Reason, State, Transition, Window};
use crate::backoff::Delays;
use crate::classify::Failure;

/// How many changes of state a subscriber may be behind before it misses some.
const SUBSCRIBERS_BEHIND: usize = 64;

/// The state machine: it is told the time and the outcomes, and says what follows from them.
pub(super) struct Machine {
    name: Arc<str>,
    config: Config,
    open_for: Option<OpenFor>,
    phase: Phase,
    window: Tally,
    consecutive: u32,
    meters: Arc<Meters>,
    /// Its first generation: an older one is of a breaker that was here before.
    born: u64,
    /// Grows with every change of what an outcome is evidence for; that of an older one is stale.
    generation: u64,
    delays: Delays,
    /// How often it opened without having been closed in between.
    times: u32,
    reason: Option<Reason>,
    last_failure: Option<Failure>,
    opened: u64,
    rejected: u64,
    stale: u64,
    /// Made for the first subscriber.
    subscribers: Option<broadcast::Sender<Transition>>,
}

impl Machine {
    pub(super) fn new(
        name: Arc<str>,
        config: Config,
        open_for: Option<OpenFor>,
        generation: u64,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            name,
            meters,
            born: generation,
            window: Tally::new(config.window),
            delays: config.open_for.delays(),
            config,
            open_for,
            phase: Phase::Closed,
            consecutive: 0,
            generation,
            times: 0,
            reason: None,
            last_failure: None,
            opened: 0,
            rejected: 0,
            stale: 0,
            subscribers: None,
        }
    }

    /// What stands where no breaker is: it knows no call.
    pub(super) fn vacant(generation: u64, meters: Arc<Meters>) -> Self {
        let config = Config {
            window: Window::Calls(1),
            ..Config::default()
        };
        Self::new("".into(), config, None, generation, meters)
    }

    /// The breaker is gone: it is in no state any more.
    pub(super) fn leave(&self) {
        self.meters.moved(Some(self.phase.state()), None);
    }

    /// Lets a call through, or says how long to stay away.
    pub(super) fn admit(&mut self, now: Instant) -> (Result<Ticket, Refused>, Option<Transition>) {
        let transition = self.time_passed(now);
        let admitted = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => Ok(()),
            Phase::ForcedOpen => Err(None),
            Phase::Open { until, .. } => Err(Some(until.saturating_duration_since(now))),
            Phase::HalfOpen(probes) => probes.take(&self.config, now).map_err(Some),
            Phase::RampingUp { since } => ramp(&self.config, now.saturating_duration_since(*since)),
        };
        if admitted.is_err() {
            self.rejected += 1;
            self.meters.rejected();
        }
        // The place of a probe is known by the time of its begin.
        let begun = self.is_timed() || matches!(self.phase, Phase::HalfOpen(_));
        let ticket = |()| {
            if begun {
                Ticket::begun(self.generation, now)
            } else {
                Ticket::passing(self.generation)
            }
        };
        let refused = |retry_after| Refused {
            state: self.phase.state(),
            retry_after,
            last_failure: self.last_failure,
        };
        (admitted.map(ticket).map_err(refused), transition)
    }

    /// What time alone changes: an open breaker becomes half-open, a ramp ends.
    fn time_passed(&mut self, now: Instant) -> Option<Transition> {
        match (self.state(now), &self.phase) {
            (State::HalfOpen, Phase::Open { .. }) => {
                self.generation += 1;
                Some(self.enter(Phase::HalfOpen(Probes::new())))
            }
            // What began on the ramp is evidence for the closed state too.
            (State::Closed, Phase::RampingUp { .. }) => Some(self.closed()),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn subscribe(&mut self) -> broadcast::Receiver<Transition> {
        let sender = self
            .subscribers
            .get_or_insert_with(|| broadcast::Sender::new(SUBSCRIBERS_BEHIND));
        sender.subscribe()
    }

    fn enter(&mut self, phase: Phase) -> Transition {
        let from = self.phase.state();
        self.phase = phase;
        let to = self.phase.state();
        self.meters.moved(Some(from), Some(to));
        let transition = Transition {
            from,
            to,
            reason: self.reason,
        };
        // Under the lock, so that all see the changes in one order; it runs nobody's code.
        if let Some(subscribers) = &self.subscribers
            && subscribers.send(transition).is_err()
        {
            self.subscribers = None;
        }
        transition
    }
}

/// Lets a growing share of the calls pass.
fn ramp(config: &Config, since: Duration) -> Result<(), Option<Duration>> {
    let Some((ramp, share)) = config
        .ramp_up
        .and_then(|ramp| Some((ramp, ramp.share(since)?)))
    else {
        return Ok(());
    };
    if fastrand::f64() < share {
        return Ok(());
    }
    // Soon enough to have a better chance.
    Err(Some((ramp.over / 10).min(Duration::from_secs(1))))
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Machine").field(&self.phase).finish()
    }
}
