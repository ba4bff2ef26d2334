//! What the breaker's documentation says, done the slow and obvious way.

use std::time::Duration;

use bowline::breaker::{Cancelled, Config, Reason, State, Window};
use bowline::classify::{Failure, Outcome};
use bowline::config::Ratio;
use tokio::time::Instant;

use super::{CAP, LEASE, RAMP, wait};

/// What the model knows of one state of the breaker.
#[derive(Debug, Clone)]
enum Phase {
    Calls(State),
    Open(Instant),
    Forced,
    HalfOpen {
        held: Vec<(u64, Instant)>,
        good: u32,
        bad: u32,
    },
    Ramp(Instant),
}

/// A call that was let through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    phase: u64,
    /// Its number among the probes.
    probe: Option<u64>,
    /// When it began, if anybody looks at that.
    began: Option<Instant>,
}

/// A call in the window.
#[derive(Debug, Clone, Copy)]
struct Seen {
    slice: u32,
    failed: bool,
    slow: bool,
}

/// All that can be seen of a breaker.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) state: State,
    pub(super) calls: usize,
    pub(super) failures: usize,
    pub(super) slow_calls: usize,
    pub(super) consecutive: u32,
    pub(super) reason: Option<Reason>,
    pub(super) last_failure: Option<Failure>,
    pub(super) retry_after: Option<Duration>,
    pub(super) opened: u64,
    pub(super) rejected: u64,
    pub(super) stale: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    config: Config,
    phase: Phase,
    /// Which state of the breaker this is, counted from its making.
    phase_id: u64,
    probes: u64,
    /// How many waits of the schedule are used up.
    waits: u32,
    window: Vec<Seen>,
    slice: u32,
    slice_began: Option<Instant>,
    consecutive: u32,
    reason: Option<Reason>,
    last_failure: Option<Failure>,
    opened: u64,
    rejected: u64,
    stale: u64,
}

impl Model {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Calls(State::Closed),
            phase_id: 0,
            probes: 0,
            waits: 0,
            window: Vec::new(),
            slice: 0,
            slice_began: None,
            consecutive: 0,
            reason: None,
            last_failure: None,
            opened: 0,
            rejected: 0,
            stale: 0,
        }
    }

    fn state(&self, now: Instant) -> State {
        match self.phase {
            Phase::Calls(state) => state,
            Phase::Open(until) if now >= until => State::HalfOpen,
            Phase::Open(_) => State::Open,
            Phase::Forced => State::ForcedOpen,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::Ramp(_) if self.share(now).is_none() => State::Closed,
            Phase::Ramp(_) => State::RampingUp,
        }
    }

    pub(super) fn view(&mut self, now: Instant) -> View {
        self.slide(now);
        let count = |of: fn(&Seen) -> bool| self.window.iter().filter(|call| of(call)).count();
        View {
            state: self.state(now),
            calls: self.window.len(),
            failures: count(|call| call.failed),
            slow_calls: count(|call| call.slow),
            consecutive: self.consecutive,
            reason: self.reason,
            last_failure: self.last_failure,
            retry_after: match self.phase {
                Phase::Open(until) if now < until => Some(until - now),
                _ => None,
            },
            opened: self.opened,
            rejected: self.rejected,
            stale: self.stale,
        }
    }

    /// The share of calls that passes while ramping up; `None` once it is all.
    fn share(&self, now: Instant) -> Option<f64> {
        let (Phase::Ramp(since), Some(ramp)) = (&self.phase, self.config.ramp_up) else {
            return None;
        };
        let done = (now - *since).as_secs_f64() / RAMP.as_secs_f64();
        let from = ramp.from.value();
        (done < 1.0).then_some(from + (1.0 - from) * done)
    }

    /// `dice` is what chance says, from 0 to 1.
    pub(super) fn acquire(&mut self, now: Instant, dice: f64) -> Option<Call> {
        match self.phase {
            Phase::Open(until) if now >= until => self.enter(Phase::HalfOpen {
                held: Vec::new(),
                good: 0,
                bad: 0,
            }),
            // What began on the ramp counts on.
            Phase::Ramp(_) if self.share(now).is_none() => {
                self.phase_id -= 1;
                self.close();
            }
            _ => {}
        }
        let share = self.share(now);
        let (most, probe) = (self.config.probes, self.probes);
        let passes = match &mut self.phase {
            Phase::Calls(_) => true,
            Phase::Open(_) | Phase::Forced => false,
            Phase::Ramp(_) => share.is_none_or(|share| dice < share),
            Phase::HalfOpen { held, good, bad } => {
                held.retain(|(_, until)| now < *until);
                let room = u32::try_from(held.len()).unwrap() + *good + *bad < most;
                if room {
                    held.push((probe, now + LEASE));
                }
                room
            }
        };
        if !passes {
            self.rejected += 1;
            return None;
        }
        self.probes += 1;
        let probes = matches!(self.phase, Phase::HalfOpen { .. });
        Some(Call {
            phase: self.phase_id,
            probe: probes.then_some(probe),
            began: (probes || self.is_timed()).then_some(now),
        })
    }

    fn is_timed(&self) -> bool {
        let watched = matches!(self.config.cancelled, Cancelled::FailureAfter(_));
        self.config.slow_call_rate.is_some() || watched
    }

    /// A call has ended; without an outcome it was dropped.
    pub(super) fn end(&mut self, call: Call, outcome: Option<Outcome>, now: Instant) {
        if call.phase != self.phase_id {
            self.stale += 1;
            return;
        }
        if let Phase::HalfOpen { held, .. } = &mut self.phase {
            held.retain(|(probe, _)| call.probe != Some(*probe));
        }
        let began = call.began.filter(|_| self.is_timed());
        let took = began.map(|began| now - began);
        let failure = match outcome {
            Some(Outcome::Success) => None,
            Some(Outcome::Failure(failure)) => Some(failure),
            Some(Outcome::Ignored) => return,
            None if self.dropped_has_failed(took) => Some(Failure::Transient),
            None => return,
        };
        self.last_failure = failure.or(self.last_failure);
        let watched = self.config.slow_call_rate.is_some();
        let slow = watched && took.is_some_and(|took| took >= self.config.slow_call);
        let failed = failure.is_some();
        match &mut self.phase {
            Phase::HalfOpen { good, bad, .. } => {
                *(if failed || slow { bad } else { good }) += 1;
                self.decide(now);
            }
            Phase::Calls(State::Disabled) => {}
            _ => self.count(failed, slow, now),
        }
    }

    fn dropped_has_failed(&self, took: Option<Duration>) -> bool {
        match self.config.cancelled {
            Cancelled::Failure => true,
            Cancelled::FailureAfter(after) => took.is_some_and(|took| took >= after),
            Cancelled::FailureIfSlow => took.is_some_and(|took| took >= self.config.slow_call),
            _ => false,
        }
    }

    fn count(&mut self, failed: bool, slow: bool, now: Instant) {
        self.slide(now);
        self.slice_began.get_or_insert(now);
        let slice = self.slice;
        self.window.push(Seen {
            slice,
            failed,
            slow,
        });
        if let Window::Calls(size) = self.config.window {
            let surplus = self.window.len().saturating_sub(size as usize);
            self.window.drain(..surplus);
        }
        self.consecutive = if failed { self.consecutive + 1 } else { 0 };
        if let Some(reason) = self.broken_rule()
            && !matches!(self.phase, Phase::Calls(State::MetricsOnly))
        {
            self.open(reason, now);
        }
    }

    fn broken_rule(&self) -> Option<Reason> {
        let config = &self.config;
        let most = config.consecutive_failures;
        if most.is_some_and(|most| self.consecutive >= most) {
            return Some(Reason::ConsecutiveFailures);
        }
        let calls = self.window.len();
        let broken = |rate: Option<Ratio>, of: fn(&Seen) -> bool| {
            let part = self.window.iter().filter(|call| of(call)).count();
            let enough = part > 0 && calls >= config.minimum_calls as usize;
            enough && rate.is_some_and(|rate| part as f64 >= rate.value() * calls as f64)
        };
        if broken(config.failure_rate, |call| call.failed) {
            Some(Reason::FailureRate)
        } else if broken(config.slow_call_rate, |call| call.slow) {
            Some(Reason::SlowCallRate)
        } else {
            None
        }
    }

    /// Forgets the slices of a window of time that are over.
    fn slide(&mut self, now: Instant) {
        let (Window::Time(span), Some(began)) = (self.config.window, self.slice_began) else {
            return;
        };
        let slices = Window::SLICES.get();
        let width = span / slices;
        let passed = u32::try_from((now - began).as_nanos() / width.as_nanos()).unwrap();
        if passed >= slices {
            self.window.clear();
            self.slice_began = Some(now);
        } else {
            self.slice += passed;
            self.slice_began = Some(began + width * passed);
            let slice = self.slice;
            self.window.retain(|call| call.slice + slices > slice);
        }
    }

    fn decide(&mut self, now: Instant) {
        let Phase::HalfOpen { good, bad, .. } = self.phase else {
            return;
        };
        let probes = self.config.probes;
        let needed = self.config.success_ratio.value() * f64::from(probes);
        if f64::from(good) >= needed {
            self.forget();
            match self.config.ramp_up {
                Some(_) => self.enter(Phase::Ramp(now)),
                None => self.close(),
            }
        } else if f64::from(probes) - f64::from(bad) < needed {
            self.open(Reason::Probes, now);
        }
    }

    fn open(&mut self, reason: Reason, now: Instant) {
        let asked = match self.last_failure {
            Some(Failure::Throttled { retry_after }) => retry_after.unwrap_or_default().min(CAP),
            _ => Duration::ZERO,
        };
        let until = now + wait(&self.config, self.waits).max(asked);
        self.waits += 1;
        self.opened += 1;
        self.reason = Some(reason);
        self.enter(Phase::Open(until));
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_id += 1;
    }

    fn close(&mut self) {
        self.waits = 0;
        self.reason = None;
        self.enter(Phase::Calls(State::Closed));
    }

    fn forget(&mut self) {
        self.window.clear();
        self.slice_began = None;
        self.consecutive = 0;
        self.last_failure = None;
    }

    pub(super) fn reset(&mut self) {
        self.forget();
        self.close();
    }

    pub(super) fn force_open(&mut self) {
        if !matches!(self.phase, Phase::Forced) {
            self.reason = Some(Reason::Forced);
            self.opened += 1;
            self.enter(Phase::Forced);
        }
    }

    /// Lets all calls pass in `state`.
    pub(super) fn watch(&mut self, state: State) {
        if !matches!(self.phase, Phase::Calls(current) if current == state) {
            self.reason = None;
            self.enter(Phase::Calls(state));
        }
    }

    pub(super) fn reconfigure(&mut self, config: Config) {
        if config.window != self.config.window {
            self.window.clear();
            self.slice_began = None;
        }
        if config.open_for != self.config.open_for {
            self.waits = 0;
        }
        let rule = |config: &Config| (config.probes, config.success_ratio);
        let other = rule(&config) != rule(&self.config);
        self.config = config;
        if let Phase::HalfOpen { held, good, bad } = &mut self.phase
            && other
        {
            held.clear();
            (*good, *bad) = (0, 0);
            self.phase_id += 1;
        }
    }
}
