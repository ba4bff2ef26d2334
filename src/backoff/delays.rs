use std::time::Duration;

use super::{Backoff, Jitter};

/// The delays of a [`Backoff`], without end.
#[derive(Debug, Clone)]
pub struct Delays {
    backoff: Backoff,
    attempt: u32,
    /// The delay before, for decorrelated jitter.
    previous: Duration,
    rng: fastrand::Rng,
}

impl Delays {
    pub(super) fn new(backoff: Backoff, rng: fastrand::Rng) -> Self {
        Self {
            backoff,
            attempt: 0,
            previous: backoff.base,
            rng,
        }
    }

    /// Whether chance has a part in them.
    pub(crate) fn is_jittered(&self) -> bool {
        self.backoff.jitter != Jitter::None
    }
}

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let Backoff {
            base, cap, jitter, ..
        } = self.backoff;
        let delay = self.backoff.delay(self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        let spread = match jitter {
            Jitter::Decorrelated => {
                let more = self.previous.saturating_mul(3).saturating_sub(base);
                base.saturating_add(share(more, self.rng.f64()))
            }
            Jitter::Equal => share(delay, 0.5 + self.rng.f64() / 2.0),
            Jitter::Full => share(delay, self.rng.f64()),
            Jitter::None => delay,
        };
        // After the jitter: that is what keeps it within the cap.
        self.previous = spread.min(cap);
        Some(self.previous)
    }
}

/// `part` of `whole`, and never more than it, however it is rounded.
fn share(whole: Duration, part: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * part).map_or(whole, |share| share.min(whole))
}
