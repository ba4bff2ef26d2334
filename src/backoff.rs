//! How long to wait before the next try.
//!
//! A [`Backoff`] is a plain value; [`Backoff::delays`] turns it into an endless
//! `Iterator<Item = Duration>`. Two rules hold for every kind: no delay is ever longer than the
//! cap, jitter included, and arithmetic saturates instead of overflowing.
//!
//! Full jitter is on by default: it is what spreads a crowd of callers that failed together.
//! Formulas, with `d` the delay before jitter: full is uniform in `[0, d]`, equal is uniform in
//! `[d/2, d]`, none is `d`.
//!
//! # When not to use it
//!
//! To end something: the delays have no end. A number of attempts and a deadline are
//! [`retry`](crate::retry)'s.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use bowline::backoff::{Backoff, Jitter};
//!
//! let backoff = Backoff::exponential(Duration::from_millis(100))
//!     .cap(Duration::from_millis(350))
//!     .jitter(Jitter::None);
//! let delays: Vec<_> = backoff.delays().take(4).map(|delay| delay.as_millis()).collect();
//! assert_eq!(delays, [100, 200, 350, 350]);
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Problems, duration};

/// A schedule of delays.
///
/// # Default
///
/// Exponential from 50 ms, doubling, at most 20 s, full jitter: short enough for a blip, bounded
/// for an outage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    growth: Growth,
    #[serde(with = "duration")]
    base: Duration,
    #[serde(with = "duration", default = "default_cap")]
    cap: Duration,
    #[serde(default)]
    jitter: Jitter,
}

/// How a delay grows from one try to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Growth {
    /// The same delay each time.
    Constant,
    /// Doubles each time.
    Exponential,
}

/// How chance spreads a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Jitter {
    /// Uniform in `[d/2, d]`.
    Equal,
    /// Uniform in `[0, d]`.
    #[default]
    Full,
    /// Exactly `d`. For tests, and where a person set the time.
    None,
}

impl Backoff {
    /// The longest delay unless [`cap`](Self::cap) says otherwise.
    pub const DEFAULT_CAP: Duration = Duration::from_secs(20);

    /// The same `delay` each time, with full jitter.
    #[must_use]
    pub const fn constant(delay: Duration) -> Self {
        Self {
            growth: Growth::Constant,
            base: delay,
            cap: delay,
            jitter: Jitter::Full,
        }
    }

    /// `base`, then twice as long each time up to [`DEFAULT_CAP`](Self::DEFAULT_CAP), with full
    /// jitter.
    #[must_use]
    pub const fn exponential(base: Duration) -> Self {
        Self {
            growth: Growth::Exponential,
            base,
            cap: Self::DEFAULT_CAP,
            jitter: Jitter::Full,
        }
    }

    /// Sets the longest delay, jitter included.
    #[must_use]
    pub const fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Sets how chance spreads the delays.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The delays, without end, from a generator seeded by the operating system.
    #[must_use]
    pub fn delays(&self) -> Delays {
        self.delays_from(fastrand::Rng::new())
    }

    /// The delays, without end, drawn from `rng`: the same seed gives the same delays.
    #[must_use]
    pub fn delays_from(&self, rng: fastrand::Rng) -> Delays {
        Delays {
            backoff: *self,
            attempt: 0,
            rng,
        }
    }

    /// The delay before try `attempt` (the first retry is 0), before jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        let grown = match self.growth {
            Growth::Constant => self.base,
            Growth::Exponential => self
                .base
                .saturating_mul(1u32.checked_shl(attempt).unwrap_or(u32::MAX)),
        };
        grown.min(self.cap)
    }

    /// The longest delay, jitter included.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.cap
    }

    /// Adds what is wrong with the schedule to `problems`, under `field`.
    pub fn check(&self, field: &str, problems: &mut Problems) {
        if self.base.is_zero() {
            problems.add(format!("{field}.base"), "0s", "more than 0s");
        }
        if self.cap < self.base {
            problems.add(
                format!("{field}.cap"),
                duration::format(self.cap),
                format!("at least the base, {}", duration::format(self.base)),
            );
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(50))
    }
}

/// The delays of a [`Backoff`], without end.
#[derive(Debug, Clone)]
pub struct Delays {
    backoff: Backoff,
    attempt: u32,
    rng: fastrand::Rng,
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.backoff.delay(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        Some(match self.backoff.jitter {
            Jitter::None => delay,
            Jitter::Full => delay.mul_f64(self.rng.f64()),
            Jitter::Equal => delay.mul_f64(0.5 + self.rng.f64() / 2.0),
        })
    }
}

fn default_cap() -> Duration {
    Backoff::DEFAULT_CAP
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_delay_is_longer_than_the_cap(
            base in 1u64..10_000, cap in 1u64..100_000, seed: u64, jitter in 0usize..3,
        ) {
            let jitter = [Jitter::None, Jitter::Full, Jitter::Equal][jitter];
            let cap = Duration::from_millis(cap);
            let backoff =
                Backoff::exponential(Duration::from_millis(base)).cap(cap).jitter(jitter);
            for delay in backoff.delays_from(fastrand::Rng::with_seed(seed)).take(10_000) {
                prop_assert!(delay <= cap);
            }
        }
    }

    #[test]
    fn equal_jitter_stays_in_the_upper_half() {
        let backoff = Backoff::constant(Duration::from_millis(100)).jitter(Jitter::Equal);
        for delay in backoff.delays_from(fastrand::Rng::with_seed(7)).take(1_000) {
            assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&delay));
        }
    }

    #[test]
    fn a_cap_below_the_base_is_refused_by_name() {
        let mut problems = Problems::default();
        Backoff::exponential(Duration::from_secs(2))
            .cap(Duration::from_secs(1))
            .check("backoff", &mut problems);
        let error = problems.into_result().expect_err("refused");
        assert_eq!(
            error.to_string(),
            "1 problem in the configuration: backoff.cap is 1s, allowed: at least the base, 2s"
        );
    }
}
