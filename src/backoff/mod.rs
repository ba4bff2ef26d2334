//! How long to wait before the next try.
//!
//! A [`Backoff`] is a plain value; [`Backoff::delays`] turns it into an endless
//! `Iterator<Item = Duration>`. Two rules hold for every kind: no delay is ever longer than the
//! cap, jitter included, and arithmetic saturates instead of overflowing.
//!
//! With `n` the number of the retry from 0, the delay before jitter is `d = min(cap, base * f(n))`:
//!
//! | growth | `f(n)` | for |
//! |---|---|---|
//! | [`Constant`](Growth::Constant) | 1 | polling |
//! | [`Linear`](Growth::Linear) | `n + 1` | a resource that frees up little by little |
//! | [`Fibonacci`](Growth::Fibonacci) | 1, 1, 2, 3, 5, 8 ... | slower growth than doubling, by a factor of 1.618 |
//! | [`Exponential`](Growth::Exponential) | `2^n` | the default: any overload |
//!
//! Full jitter is on by default: it is what spreads a crowd of callers that failed together.
//!
//! | jitter | the delay |
//! |---|---|
//! | [`Full`](Jitter::Full) | uniform in `[0, d]` |
//! | [`Equal`](Jitter::Equal) | uniform in `[d/2, d]` |
//! | [`Decorrelated`](Jitter::Decorrelated) | `min(cap, uniform in [base, 3 * the delay before])`, the first one from `[base, 3 * base]` |
//! | [`None`](Jitter::None) | `d` |
//!
//! The three kinds of jitter, and why they beat none, are those of Marc Brooker, "Exponential Backoff
//! And Jitter", AWS Architecture Blog, 2015.
//!
//! # When not to use it
//!
//! To end something: the delays have no end. A number of attempts and a deadline are
//! [`retry`](crate::retry)'s, which also takes a schedule of your own.
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
//!
//! let backoff = Backoff::fibonacci(Duration::from_millis(100)).jitter(Jitter::None);
//! let delays: Vec<_> = backoff.delays().take(5).map(|delay| delay.as_millis()).collect();
//! assert_eq!(delays, [100, 100, 200, 300, 500]);
//! ```

mod delays;
mod kind;
#[cfg(test)]
mod tests;

pub use delays::Delays;
pub use kind::{Growth, Jitter};

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
        Self::growing(Growth::Exponential, base)
    }

    /// `base` twice, then the sum of the two before it, up to [`DEFAULT_CAP`](Self::DEFAULT_CAP), with
    /// full jitter.
    #[must_use]
    pub const fn fibonacci(base: Duration) -> Self {
        Self::growing(Growth::Fibonacci, base)
    }

    /// `base`, then longer by `base` each time up to [`DEFAULT_CAP`](Self::DEFAULT_CAP), with full
    /// jitter.
    #[must_use]
    pub const fn linear(base: Duration) -> Self {
        Self::growing(Growth::Linear, base)
    }

    const fn growing(growth: Growth, base: Duration) -> Self {
        Self {
            growth,
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
        Delays::new(*self, rng)
    }

    /// The delay before try `attempt` (the first retry is 0), before jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        // In nanoseconds: a `Duration` can only be multiplied by what fits into 32 bits, which is
        // seconds when the base is a nanosecond.
        let grown = self.base.as_nanos();
        let grown = grown.saturating_mul(u128::from(self.growth.factor(attempt)));
        match u64::try_from(grown) {
            Ok(nanos) => Duration::from_nanos(nanos).min(self.cap),
            Err(_) => long(grown).min(self.cap),
        }
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

/// More nanoseconds than 64 bits hold, which are centuries.
fn long(nanos: u128) -> Duration {
    let seconds = u64::try_from(nanos / 1_000_000_000);
    seconds.map_or(Duration::MAX, Duration::from_secs)
}

fn default_cap() -> Duration {
    Backoff::DEFAULT_CAP
}
