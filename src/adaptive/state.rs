use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::gradient::Baseline;
use super::{Aimd, Algorithm, Config};
use crate::classify::{Failure, Outcome};
use crate::clock::after;

/// The limit: it is told the time and how calls ended, and says how many may run.
#[derive(Debug)]
pub(super) struct Machine {
    name: Arc<str>,
    config: Config,
    /// With its fraction, so that a small limit can grow by a share.
    limit: f64,
    window: Window,
    /// When the window opened, or will: what ends before shows what was before the last change.
    opens: Option<Instant>,
    /// When the limit was cut last: calls that began before have been answered for.
    cut: Option<Instant>,
    baseline: Baseline,
    cuts: u64,
    /// When it was told something last.
    told: Option<Instant>,
}

/// A window may hold so many times the calls it has to, until its mean is sharp.
const NOISY: u32 = 6;

/// What a window has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Window {
    pub(super) answered: u32,
    /// Of those that were answered, in seconds.
    pub(super) time: f64,
    /// The sum of the squares of those times.
    pub(super) squares: f64,
    pub(super) dropped: u32,
    /// The most that were running at once.
    pub(super) busiest: u32,
}

/// A call that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) began: Instant,
    /// How many were running when it ended, itself included.
    pub(super) running: u32,
    pub(super) ended: Ended,
}

/// How a call ended, for the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered,
    Dropped,
    Cancelled,
}

impl Ended {
    /// What an outcome says about the load; `None`: nothing.
    pub(super) fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Success => Some(Self::Answered),
            Outcome::Failure(Failure::Transient | Failure::Throttled { .. }) => Some(Self::Dropped),
            Outcome::Failure(Failure::Permanent) | Outcome::Ignored => None,
        }
    }
}

impl Window {
    fn samples(&self) -> u32 {
        self.answered.saturating_add(self.dropped)
    }

    /// How long the calls took that were answered, in seconds.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.answered > 0).then(|| self.time / f64::from(self.answered))
    }

    /// By how much that mean may be wrong by chance: its standard error, in seconds.
    pub(super) fn error(&self) -> f64 {
        let calls = f64::from(self.answered.max(1));
        let mean = self.time / calls;
        let variance = (self.squares / calls - mean * mean).max(0.0);
        (variance / calls).sqrt()
    }

    /// Whether at least half of the limit was used.
    pub(super) fn is_busy(&self, limit: f64) -> bool {
        2.0 * f64::from(self.busiest) >= limit.floor()
    }
}

impl Machine {
    pub(super) fn new(name: Arc<str>, config: Config) -> Self {
        Self {
            name,
            limit: f64::from(config.initial),
            window: Window::default(),
            opens: None,
            cut: None,
            baseline: Baseline::default(),
            cuts: 0,
            told: None,
            config,
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// How many calls may run.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is kept between two limits that fit"
    )]
    pub(super) fn limit(&self) -> u32 {
        let limit = self.baseline.lowered().unwrap_or(self.limit);
        (limit as u32).clamp(self.config.min, self.config.max)
    }

    pub(super) fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    pub(super) fn cuts(&self) -> u64 {
        self.cuts
    }

    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// Whether all that it knows is old.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.told
            .is_none_or(|told| now.saturating_duration_since(told) >= Config::FORGET)
    }

    /// Takes on another policy. The limit stays as far as the new bounds allow.
    pub(super) fn reconfigure(&mut self, config: Config) {
        // A policy that is read again and again must not keep a window from closing.
        if config == self.config {
            return;
        }
        match (config.algorithm, self.config.algorithm) {
            (Algorithm::Aimd(_), Algorithm::Aimd(_)) => {}
            (Algorithm::Gradient(new), Algorithm::Gradient(old)) => {
                if new.measure_every != old.measure_every {
                    self.baseline.measure_soon();
                }
            }
            _ => self.baseline = Baseline::default(),
        }
        self.config = config;
        self.window = Window::default();
        self.opens = None;
        self.clamp();
    }

    /// Takes in how a call ended, and moves the limit if that closes the window.
    pub(super) fn learn(&mut self, call: Call, now: Instant) {
        self.told = Some(now);
        let opens = *self.opens.get_or_insert(call.began);
        if now < opens {
            return;
        }
        let took = now.saturating_duration_since(call.began).as_secs_f64();
        match call.ended {
            Ended::Dropped if self.cut.is_some_and(|cut| call.began < cut) => return,
            Ended::Dropped => self.window.dropped += 1,
            Ended::Cancelled if !self.is_long(took) => return,
            Ended::Answered | Ended::Cancelled => {
                self.window.answered += 1;
                self.window.time += took;
                self.window.squares += took * took;
            }
        }
        self.window.busiest = self.window.busiest.max(call.running);
        let open_for = now.saturating_duration_since(opens);
        if open_for >= self.config.window && self.has_seen_enough() {
            self.close(now);
        }
    }

    /// Whether the window holds enough calls. The more they differ in time, the more it needs before
    /// their mean tells a queue from chance.
    fn has_seen_enough(&self) -> bool {
        let (window, samples) = (&self.window, self.config.samples);
        if window.samples() < samples {
            return false;
        }
        let Algorithm::Gradient(gradient) = &self.config.algorithm else {
            return true;
        };
        window.samples() >= samples.saturating_mul(NOISY) || gradient.is_sharp(window)
    }

    /// Whether a call that was given up after so long shows that calls take long: it would have
    /// taken at least that.
    fn is_long(&self, took: f64) -> bool {
        let Algorithm::Gradient(gradient) = &self.config.algorithm else {
            return false;
        };
        self.baseline
            .allowed(gradient, 0.0)
            .is_some_and(|allowed| took > allowed)
    }

    fn close(&mut self, now: Instant) {
        let window = std::mem::take(&mut self.window);
        let shed = f64::from(window.dropped);
        if shed > self.config.drop_rate.value() * f64::from(window.samples()) {
            self.limit *= self.config.cut_to.value();
            self.cut = Some(now);
            self.cuts += 1;
            self.baseline.interrupt();
        } else {
            match self.config.algorithm {
                Algorithm::Gradient(gradient) => {
                    self.limit *= self.baseline.step(&gradient, &window, self.limit, now);
                }
                Algorithm::Aimd(Aimd { increase }) if window.is_busy(self.limit) => {
                    self.limit += f64::from(increase);
                }
                Algorithm::Aimd(_) => {}
            }
        }
        self.clamp();
        let settle = match self.config.algorithm {
            Algorithm::Gradient(_) => window.mean().unwrap_or_default() * self.baseline.settles(),
            Algorithm::Aimd(_) => 0.0,
        };
        let settle = Duration::try_from_secs_f64(settle).unwrap_or_default();
        self.opens = Some(after(now, settle));
    }

    fn clamp(&mut self) {
        let Config { min, max, .. } = self.config;
        self.limit = self.limit.clamp(f64::from(min), f64::from(max));
    }
}
