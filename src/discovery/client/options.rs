use std::fmt;
use std::time::Duration;

use super::transport::Boxed;
use super::{Balance, ServiceClient, Watches};
use crate::backoff::Backoff;
use crate::config::ConfigError;
use crate::{breaker, budget, bulkhead, pipeline, retry};

/// Builds a [`ServiceClient`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    watches: Watches,
    transport: Boxed,
    options: Options,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) balance: Balance,
    pub(super) pipeline: pipeline::Config,
}

impl Builder {
    /// The time for one attempt unless said otherwise: two of them fit into the default deadline.
    pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
    /// The time for one call unless said otherwise: what a person waits for a page.
    pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(3);
    /// How many attempts run at once per service, and as many wait: one service that hangs for its whole
    /// deadline leaves memory and connections to the others.
    pub const DEFAULT_BULKHEAD: u32 = 512;

    /// How many retries a call pays for: when one of two instances is gone, every second call needs one.
    pub const DEFAULT_RETRY_RATIO: f64 = 1.0;

    pub(super) fn new(watches: Watches, transport: Boxed) -> Self {
        let mut pipeline = pipeline::Config::standard();
        pipeline.deadline = Some(Self::DEFAULT_DEADLINE);
        pipeline.attempt_timeout = Some(Self::DEFAULT_ATTEMPT_TIMEOUT);
        pipeline.retry = Some(retry::Config {
            // The next attempt goes to another instance, so there is little to wait for.
            backoff: Backoff::exponential(Duration::from_millis(25))
                .cap(Duration::from_millis(500)),
            ..retry::Config::default()
        });
        let retry_budget = budget::Config {
            ratio: Self::DEFAULT_RETRY_RATIO,
            ..budget::Config::default()
        };
        pipeline.retry_budget = Some(retry_budget.into());
        pipeline.bulkhead = Some(bulkhead::Config {
            limit: Self::DEFAULT_BULKHEAD,
            queue: Self::DEFAULT_BULKHEAD,
            ..bulkhead::Config::default()
        });
        let options = Options {
            balance: Balance::default(),
            pipeline,
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

    /// Takes the whole policy from `policy`; every service has a pipeline of its own by it.
    pub fn pipeline(mut self, policy: pipeline::Config) -> Self {
        self.options.pipeline = policy;
        self
    }

    /// Sets how often a call is repeated, and with which pauses.
    pub fn retry(mut self, policy: retry::Config) -> Self {
        self.options.pipeline.retry = Some(policy);
        self
    }

    /// Sets when calls to a service are refused; every service has a breaker of its own.
    pub fn breaker(mut self, policy: breaker::Config) -> Self {
        self.options.pipeline.breaker = Some(policy);
        self
    }

    /// Sets how many attempts run at once; every service has a bulkhead of its own.
    pub fn bulkhead(mut self, policy: bulkhead::Config) -> Self {
        self.options.pipeline.bulkhead = Some(policy);
        self
    }

    /// Sets the time for one attempt, connecting included.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.options.pipeline.attempt_timeout = Some(limit);
        self
    }

    /// Sets the time for a whole call that does not bring its own.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.options.pipeline.deadline = Some(limit);
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// All values that are out of range.
    pub fn build(self) -> Result<ServiceClient, ConfigError> {
        self.options.pipeline.check()?;
        let mut options = self.options;
        // An attempt that the retry cuts off is tried again whatever it was: only the client knows which
        // calls may be repeated, so it bounds the attempts itself.
        let pipeline = &mut options.pipeline;
        if let Some(retry) = &mut pipeline.retry
            && let Some(limit) = retry.attempt_timeout.take()
        {
            let other = pipeline.attempt_timeout.unwrap_or(limit);
            pipeline.attempt_timeout = Some(limit.min(other));
        }
        Ok(ServiceClient::new(self.watches, self.transport, options))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}
