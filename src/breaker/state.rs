use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::ended::{Ended, Refused};
use super::meters::Meters;
use super::mirror::{Face, Rejects};
use super::opening::{OpenFor, Opening};
use super::phase::{Phase, Probes, Verdict};
use super::ticket::{Moment, Ticket, Ticks};
use super::window::{Ending, Sums, Tally};
use super::{Config, Reason, Snapshot, State, Transition, Window};
use crate::backoff::Delays;
use crate::classify::{Failure, Outcome};
use crate::clock::after;

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

    /// The breaker is gone: it shows no state.
    pub(super) fn leave(&self) {
        self.meters.show(None);
    }

    /// Lets a call through, or says how long to stay away.
    pub(super) fn admit(&mut self, now: Instant) -> (Result<Ticket, Refused>, Option<Transition>) {
        let transition = self.time_passed(now);
        let admitted = match &mut self.phase {
            Phase::Closed | Phase::Disabled | Phase::MetricsOnly => Ok(None),
            Phase::ForcedOpen => Err(None),
            Phase::Open { until, .. } => Err(Some(until.saturating_duration_since(now))),
            Phase::HalfOpen(probes) => probes.take(&self.config, now).map(Some).map_err(Some),
            Phase::RampingUp { since } => ramp(&self.config, now.saturating_duration_since(*since)),
        };
        if admitted.is_err() {
            self.rejected += 1;
            self.meters.rejected();
        }
        let ticket = |probe: Option<u32>| {
            let mut ticket = Ticket::passing(self.generation);
            if self.is_timed() {
                ticket = ticket.begun(now);
            }
            probe.map_or(ticket, |id| ticket.probing(id))
        };
        let refused = |retry_after| Refused {
            state: self.phase.state(),
            retry_after,
            last_failure: self.last_failure,
        };
        (admitted.map(ticket).map_err(refused), transition)
    }

    /// Takes in how a call ended.
    pub(super) fn record(
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
        if let (Phase::HalfOpen(probes), Some(id)) = (&mut self.phase, ticket.probe())
            && !probes.give_back(id, now.get())
        {
            self.note_stale();
            return None;
        }
        self.meters.ended(ended);
        let took = ticket.is_timed().then(|| ticket.took(now.get()));
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
        let broken = |rate: Option<crate::config::Ratio>, part: u32| {
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

    /// The state at `now`, also when nobody has called since it changed.
    pub(super) fn state(&self, now: Instant) -> State {
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

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    fn is_timed(&self) -> bool {
        self.config.timed().is_some()
    }

    /// What calls need to know without the lock.
    pub(super) fn face(&self) -> Face {
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
    fn is_saturated(&self) -> bool {
        match self.phase {
            Phase::Disabled => true,
            Phase::Closed | Phase::MetricsOnly => {
                self.consecutive == 0 && self.window.is_saturated()
            }
            _ => false,
        }
    }

    pub(super) fn snapshot(&mut self, now: Instant) -> Snapshot {
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
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
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

    pub(super) fn subscribe(&mut self) -> broadcast::Receiver<Transition> {
        let sender = self
            .subscribers
            .get_or_insert_with(|| broadcast::Sender::new(SUBSCRIBERS_BEHIND));
        sender.subscribe()
    }

    /// Opens, passes all, or only watches, until [`reset`](Self::reset).
    pub(super) fn force(&mut self, phase: Phase) -> Option<Transition> {
        if self.phase.state() == phase.state() {
            return None;
        }
        if matches!(phase, Phase::ForcedOpen) {
            self.reason = Some(Reason::Forced);
            self.note_opened(Reason::Forced);
        } else {
            self.reason = None;
        }
        self.generation += 1;
        Some(self.enter(phase))
    }

    pub(super) fn reset(&mut self) -> Option<Transition> {
        let was_closed = matches!(self.phase, Phase::Closed);
        self.generation += 1;
        self.forget();
        let transition = self.closed();
        (!was_closed).then_some(transition)
    }

    /// Takes on another policy. The state stays; the window is kept when it is of the same kind and
    /// size.
    pub(super) fn reconfigure(&mut self, config: Config) {
        if config.window != self.config.window {
            self.window = Tally::new(config.window);
        }
        if config.open_for != self.config.open_for {
            self.delays = config.open_for.delays();
        }
        let rule = |config: &Config| (config.probes, config.success_ratio);
        // What was counted under the old rule may never come to a verdict under the new one.
        let begins_anew = rule(&config) != rule(&self.config);
        self.config = config;
        if begins_anew && matches!(self.phase, Phase::HalfOpen(_)) {
            self.generation += 1;
            self.phase = Phase::HalfOpen(Probes::new());
        }
    }

    fn open(&mut self, reason: Reason, now: Instant) -> Transition {
        self.times = self.times.saturating_add(1);
        self.note_opened(reason);
        self.reason = Some(reason);
        let scheduled = self.delays.next().unwrap_or(Config::OPEN_FOR);
        let until = after(now, scheduled.max(self.asked()));
        self.generation += 1;
        self.enter(Phase::Open { since: now, until })
    }

    fn note_opened(&mut self, reason: Reason) {
        self.opened += 1;
        self.meters.opened(reason);
    }

    /// The function that is to say how long to stay open, and what it is told. It is somebody else's
    /// code, so it runs outside the lock.
    pub(super) fn opening(&self) -> Option<(OpenFor, Opening, u64)> {
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
    pub(super) fn stay_open(&mut self, generation: u64, wait: Duration) {
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

    fn recover(&mut self, now: Instant) -> Transition {
        self.generation += 1;
        self.forget();
        match self.config.ramp_up {
            Some(_) => self.enter(Phase::RampingUp { since: now }),
            None => self.closed(),
        }
    }

    fn forget(&mut self) {
        self.window.clear();
        self.consecutive = 0;
        self.last_failure = None;
    }

    fn closed(&mut self) -> Transition {
        self.delays = self.config.open_for.delays();
        self.times = 0;
        self.reason = None;
        self.enter(Phase::Closed)
    }

    fn enter(&mut self, phase: Phase) -> Transition {
        let from = self.phase.state();
        self.phase = phase;
        self.meters.show(Some(self.phase.state()));
        let transition = Transition {
            from,
            to: self.phase.state(),
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
fn ramp(config: &Config, since: Duration) -> Result<Option<u32>, Option<Duration>> {
    let Some((ramp, share)) = config
        .ramp_up
        .and_then(|ramp| Some((ramp, ramp.share(since)?)))
    else {
        return Ok(None);
    };
    if fastrand::f64() < share {
        return Ok(None);
    }
    // Soon enough to have a better chance.
    Err(Some((ramp.over / 10).min(Duration::from_secs(1))))
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Machine").field(&self.phase).finish()
    }
}
