use std::time::Duration;

use tokio::time::Instant;

use super::Gradient;
use super::state::Window;
use crate::clock::after;

/// How long calls take when they do not stand in a queue, and when that is measured.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    /// In seconds; `None` until it was measured.
    time: Option<f64>,
    /// The standard error of that.
    error: f64,
    /// The highest limit since it was measured.
    highest: f64,
    /// When it is to be measured anew, if traffic does not show it before.
    due: Option<Instant>,
    measuring: Option<Measuring>,
}

#[derive(Debug, Clone, Copy)]
struct Measuring {
    since: Instant,
    /// The limit in the meantime.
    lowered: f64,
    /// How long calls would take at the limit that it goes back to, in seconds.
    before: f64,
    /// The standard error of that.
    error: f64,
}

/// The most the limit grows in one window, and the most it falls.
const UP: f64 = 1.1;
const DOWN: f64 = 0.5;
/// The most it moves either way by what may be chance: were it not the same, chance alone would take
/// the limit to one of its ends.
const BY_CHANCE: f64 = 1.05;
/// A difference of so many standard errors is hardly chance.
const CHANCE: f64 = 2.0;
/// The same where only one side is looked at, in every window: else chance alone would find a
/// shorter time in the end.
const FASTER: f64 = 4.0;
/// Times that differ by more than this factor are not the same.
const QUEUE: f64 = 0.75;
/// In seconds: what takes so much longer may just have missed a turn of the scheduler, or a line of
/// the cache, and stands in no queue.
const SHORT: f64 = 1e-6;
/// Measuring takes at most one part in so many of the time.
const RARE: u32 = 20;

const SAME: f64 = 1.0;

impl Gradient {
    /// Whether chance moves the mean by half of the tolerance at most.
    pub(super) fn is_sharp(&self, window: &Window) -> bool {
        let mean = window.mean().unwrap_or_default();
        window.error() <= mean * self.tolerance.value() / 2.0
    }
}

impl Baseline {
    /// How long calls may take, in seconds, when their mean is known but for `error`: longer than alone
    /// by the tolerance, by what may be chance, or by what is too short to matter, whichever is most.
    pub(super) fn allowed(&self, gradient: &Gradient, error: f64) -> Option<f64> {
        let time = self.time?;
        let chance = CHANCE * self.error.hypot(error);
        Some(time + (time * gradient.tolerance.value()).max(chance).max(SHORT))
    }

    /// How long calls take alone.
    pub(super) fn time(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.time?).ok()
    }

    /// The limit while it is measured.
    pub(super) fn lowered(&self) -> Option<f64> {
        self.measuring.map(|measuring| measuring.lowered)
    }

    /// How many times as long as a call it takes until a change shows. What stood in the queue before a
    /// measurement has to be gone, and so has what came while it went.
    pub(super) fn settles(&self) -> f64 {
        if self.measuring.is_some() { 2.0 } else { 1.0 }
    }

    /// Ends a measurement without a result.
    pub(super) fn interrupt(&mut self) {
        self.measuring = None;
    }

    /// Measures at the next occasion, and plans anew from there.
    pub(super) fn measure_soon(&mut self) {
        self.due = None;
    }

    /// By what the limit is to be multiplied, after a window that has just closed.
    pub(super) fn step(
        &mut self,
        gradient: &Gradient,
        window: &Window,
        limit: f64,
        now: Instant,
    ) -> f64 {
        let Some(mean) = window.mean() else {
            return SAME;
        };
        if mean <= 0.0 {
            // The clock stands still. Nothing is as fast, and a queue of such calls would not show.
            self.interrupt();
            return SAME;
        }
        if let Some(measuring) = self.measuring.take() {
            let slower = self.time.is_some_and(|known| differ(known, mean));
            self.believe(mean, window.error());
            self.highest = limit;
            self.plan(gradient, measuring.since, now);
            if slower || differ(mean, measuring.before) {
                // There may be a queue still: the next measurement, at a lower limit, will tell.
                self.due = Some(now);
            }
            return self.toward(gradient, measuring.before, measuring.error);
        }
        if !window.is_busy(limit) {
            self.believe(mean, window.error());
            self.highest = limit;
            self.plan(gradient, now, now);
            return SAME;
        }
        self.highest = self.highest.max(limit);
        let Some(known) = self.time else {
            self.measure(limit, (mean, window.error()), now);
            return SAME;
        };
        if mean + FASTER * window.error() < known {
            (self.time, self.error) = (Some(mean), window.error());
        }
        let factor = self.toward(gradient, mean, window.error());
        let next = limit * factor;
        if 2.0 * next <= self.highest || self.due.is_none_or(|due| due <= now) {
            // What stands in a queue takes as long as the queue is.
            let before = (mean * factor, window.error() * factor);
            self.measure(next, before, now);
        }
        factor
    }

    /// Toward the limit at which calls take as long as they may, when they take `mean` now.
    fn toward(&self, gradient: &Gradient, mean: f64, error: f64) -> f64 {
        let allowed = self.allowed(gradient, error).unwrap_or(mean);
        let factor = allowed / mean;
        let may_be_chance = (allowed - mean).abs() <= CHANCE * error;
        if may_be_chance {
            factor.clamp(BY_CHANCE.recip(), BY_CHANCE)
        } else {
            factor.clamp(DOWN, UP)
        }
    }

    /// Takes in a time without a queue: half of what may be chance, all of what cannot.
    fn believe(&mut self, mean: f64, error: f64) {
        match self.time {
            Some(known) if (mean - known).abs() <= CHANCE * self.error.hypot(error) => {
                self.time = Some(known.midpoint(mean));
                self.error = self.error.hypot(error) / 2.0;
            }
            _ => (self.time, self.error) = (Some(mean), error),
        }
    }

    fn measure(&mut self, limit: f64, (before, error): (f64, f64), now: Instant) {
        self.measuring = Some(Measuring {
            since: now,
            lowered: limit / 2.0,
            before,
            error,
        });
    }

    /// Says when to measure next. By chance, so that not all instances of a service do it at once.
    fn plan(&mut self, gradient: &Gradient, since: Instant, now: Instant) {
        let took = now.saturating_duration_since(since);
        let wait = gradient.measure_every.mul_f64(0.75 + 0.5 * fastrand::f64());
        self.due = Some(after(now, wait.max(took.saturating_mul(RARE))));
    }
}

/// Whether a time is shorter than another by so much that they cannot be the same.
fn differ(shorter: f64, longer: f64) -> bool {
    shorter < QUEUE * longer && longer - shorter > SHORT
}
