use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use crate::backoff::Delays;
use crate::classify::{Failure, Outcome};
use crate::clock::after;

/// What is left of one call's attempts and time.
#[derive(Debug)]
pub(super) struct Schedule {
    config: Config,
    /// How many attempts were begun.
    attempt: u32,
    /// `Some` once the first retry was asked for: a call that succeeds needs no random numbers.
    delays: Option<Delays>,
}

impl Schedule {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            attempt: 1,
            delays: None,
        }
    }

    /// The number of the attempt, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether another attempt may follow this one.
    pub(super) fn may_retry(&self) -> bool {
        self.attempt < self.config.attempts
    }

    /// How long to wait before the next attempt, after `outcome`; `None` when there is none.
    pub(super) fn next(
        &mut self,
        outcome: Outcome,
        now: Instant,
        deadline: Instant,
    ) -> Option<Duration> {
        let asked = match outcome {
            Outcome::Failure(Failure::Transient) => Duration::ZERO,
            Outcome::Failure(Failure::Throttled { retry_after }) => retry_after.unwrap_or_default(),
            Outcome::Failure(Failure::Permanent) | Outcome::Success | Outcome::Ignored => {
                return None;
            }
        };
        if !self.may_retry() {
            return None;
        }
        let delays = self
            .delays
            .get_or_insert_with(|| self.config.backoff.delays());
        let wait = delays.next()?.max(asked);
        if now.checked_add(wait).is_none_or(|next| next >= deadline) {
            return None;
        }
        self.attempt += 1;
        tracing::debug!(name: "bowline.retry.attempt", attempt = self.attempt, ?wait);
        Some(wait)
    }
}

/// When a call that begins `now` must have ended.
pub(super) fn deadline(config: &Config, now: Instant) -> Instant {
    after(now, config.deadline)
}
