use std::fmt;
use std::time::Duration;

use super::transport::Boxed;
use super::{Balance, ServiceClient, Watches};
use crate::backoff::Backoff;
use crate::config::{ConfigError, Problems, duration};
use crate::{breaker, retry};

/// Builds a [`ServiceClient`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    watches: Watches,
    transport: Boxed,
    options: Options,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) attempt_timeout: Duration,
    pub(super) balance: Balance,
    pub(super) breaker: breaker::Config,
    pub(super) retry: retry::Config,
}

impl Builder {
    /// The time for one attempt unless said otherwise: two of them fit into the default deadline.
    pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
    /// The time for one call unless said otherwise: what a person waits for a page.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(3);

    pub(super) fn new(watches: Watches, transport: Boxed) -> Self {
        let retry = retry::Config {
            // The next attempt goes to another instance, so there is little to wait for.
            backoff: Backoff::exponential(Duration::from_millis(25))
                .cap(Duration::from_millis(500)),
            deadline: Self::DEFAULT_DEADLINE,
            ..retry::Config::default()
        };
        let options = Options {
            attempt_timeout: Self::DEFAULT_ATTEMPT_TIMEOUT,
            balance: Balance::default(),
            breaker: breaker::Config::default(),
            retry,
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

    /// Sets how often a call is repeated, with which pauses, and the time for a whole call that does
    /// not bring its own.
    pub fn retry(mut self, policy: retry::Config) -> Self {
        self.options.retry = policy;
        self
    }

    /// Sets when calls to a service are refused; every service has a breaker of its own.
    pub fn breaker(mut self, policy: breaker::Config) -> Self {
        self.options.breaker = policy;
        self
    }

    /// Sets the time for one attempt, connecting included.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.options.attempt_timeout = limit;
        self
    }

    /// Sets the time for a whole call that does not bring its own.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.options.retry.deadline = limit;
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
            breaker,
            retry,
            ..
        } = &self.options;
        problems.check(
            !attempt_timeout.is_zero(),
            "attempt_timeout",
            duration::format(*attempt_timeout),
            "more than 0s",
        );
        if let Err(error) = breaker.check() {
            problems.extend("breaker", error);
        }
        if let Err(error) = retry.check() {
            problems.extend("retry", error);
        }
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
