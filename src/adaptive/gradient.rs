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
}

/// By how much the limit is to change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) factor: f64,
}

/// The most the limit grows in one window: slower than a queue builds up.
const UP: f64 = 1.05;
/// The most it falls in one window.
const DOWN: f64 = 0.5;
/// How much of a difference that one window shows is believed at once.
const BELIEVED: f64 = 0.5;
/// Times that differ by more than this factor are not the same.
const QUEUE: f64 = 0.75;
/// Measuring takes at most one part in so many of the time.
const RARE: u32 = 20;

const SAME: Step = Step { factor: 1.0 };

impl Baseline {
    /// How long calls may take, in seconds.
    pub(super) fn allowed(&self, gradient: &Gradient) -> Option<f64> {
        Some(self.time? * (1.0 + gradient.tolerance.value()))
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

    /// What a window says that has just closed.
    pub(super) fn step(
        &mut self,
        gradient: &Gradient,
        window: &Window,
        limit: f64,
        now: Instant,
    ) -> Step {
        let Some(mean) = window.mean() else {
            return SAME;
        };
        if let Some(measuring) = self.measuring.take() {
            let slower = self.time.is_some_and(|known| known < QUEUE * mean);
            let shorter = self.time.is_none_or(|known| mean < known);
            if slower || shorter {
                self.time = Some(mean);
            } else {
                self.believe(mean);
            }
            self.highest = limit;
            self.plan(gradient, measuring.since, now);
            if slower || mean < QUEUE * measuring.before {
                // There may be a queue still: the next measurement, at a lower limit, will tell.
                self.due = Some(now);
            }
            return self.toward(gradient, measuring.before);
        }
        if !window.is_busy(limit) {
            self.believe(mean);
            self.highest = limit;
            self.plan(gradient, now, now);
            return SAME;
        }
        self.highest = self.highest.max(limit);
        let Some(known) = self.time else {
            self.measure(limit, mean, now);
            return SAME;
        };
        if mean < known {
            self.time = Some(mean);
        }
        let step = self.toward(gradient, mean);
        let next = limit * step.factor;
        if 2.0 * next <= self.highest || self.due.is_none_or(|due| due <= now) {
            // What stands in a queue takes as long as the queue is.
            self.measure(next, mean * step.factor, now);
        }
        step
    }

    /// Toward the limit at which calls take as long as they may, when they take `mean` now.
    fn toward(&self, gradient: &Gradient, mean: f64) -> Step {
        let allowed = self.allowed(gradient).unwrap_or(mean);
        let factor = (allowed / mean.max(f64::MIN_POSITIVE)).clamp(DOWN, UP);
        Step { factor }
    }

    fn believe(&mut self, mean: f64) {
        let known = self.time.unwrap_or(mean);
        self.time = Some(known + BELIEVED * (mean - known));
    }

    fn measure(&mut self, limit: f64, before: f64, now: Instant) {
        self.measuring = Some(Measuring {
            since: now,
            lowered: limit / 2.0,
            before,
        });
    }

    /// Says when to measure next. By chance, so that not all instances of a service do it at once.
    fn plan(&mut self, gradient: &Gradient, since: Instant, now: Instant) {
        let took = now.saturating_duration_since(since);
        let wait = gradient.measure_every.mul_f64(0.75 + 0.5 * fastrand::f64());
        self.due = Some(after(now, wait.max(took.saturating_mul(RARE))));
    }
}
