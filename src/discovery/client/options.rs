use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::transport::Boxed;
use super::{Balance, ServiceClient, Watches};
use crate::backoff::Backoff;
use crate::config::{ConfigError, Problems, duration};

/// Builds a [`ServiceClient`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    watches: Watches,
    transport: Boxed,
    options: Options,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) attempts: NonZeroU32,
    pub(super) attempt_timeout: Duration,
    pub(super) backoff: Backoff,
    pub(super) balance: Balance,
    pub(super) deadline: Duration,
}

impl Builder {
    /// The attempts for one call unless said otherwise: with three, two instances may die at once.
    pub const DEFAULT_ATTEMPTS: NonZeroU32 = NonZeroU32::new(3).unwrap();
    /// The time for one attempt unless said otherwise: two of them fit into the default deadline.
    pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
    /// The time for one call unless said otherwise: what a person waits for a page.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(3);

    pub(super) fn new(watches: Watches, transport: Boxed) -> Self {
        let options = Options {
            attempts: Self::DEFAULT_ATTEMPTS,
            attempt_timeout: Self::DEFAULT_ATTEMPT_TIMEOUT,
            backoff: Backoff::exponential(Duration::from_millis(25))
                .cap(Duration::from_millis(500)),
            balance: Balance::default(),
            deadline: Self::DEFAULT_DEADLINE,
        };
        Self {
            watches,
            transport,
            options,
        }
    }

    /// Sets how the next instance is chosen.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.options.balance = balance;
        self
    }

    /// Sets the most attempts for one call, the first included.
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.options.attempts = attempts;
        self
    }

    /// Sets the pauses between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = backoff;
        self
    }

    /// Sets the time for one attempt, connecting included.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.options.attempt_timeout = limit;
        self
    }

    /// Sets the time for a whole call that does not bring its own.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.options.deadline = limit;
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// All values that are out of range.
    pub fn build(self) -> Result<ServiceClient, ConfigError> {
        let mut problems = Problems::default();
        let Options {
            attempt_timeout,
            deadline,
            backoff,
            ..
        } = &self.options;
        for (field, value) in [("attempt_timeout", attempt_timeout), ("deadline", deadline)] {
            problems.check(!value.is_zero(), field, "0s", "more than 0s");
        }
        problems.check(
            attempt_timeout <= deadline,
            "attempt_timeout",
            duration::format(*attempt_timeout),
            format!("at most the deadline, {}", duration::format(*deadline)),
        );
        backoff.check("backoff", &mut problems);
        problems.into_result()?;
        Ok(ServiceClient::new(
            self.watches,
            self.transport,
            self.options,
        ))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}
