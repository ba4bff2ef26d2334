use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::config::check_times;
use super::core::Parts;
use super::meters::Meters;
use super::order::{Order, Stage};
use super::{BudgetPolicy, Config, Pipeline};
use crate::breaker::Breaker;
use crate::budget::{self, RetryBudget};
use crate::bulkhead::Bulkhead;
use crate::config::{ConfigError, Problems};
use crate::rate::RateLimiter;
use crate::retry::Retry;
use crate::timeout::{Deadline, Timeout};

/// Builds a [`Pipeline`], from the outside in.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    order: Order,
    deadline: Option<Duration>,
    retry: Option<Retry>,
    rate_limit: Option<RateLimiter>,
    breaker: Option<Breaker>,
    bulkhead: Option<Bulkhead>,
    bulkhead_limit: Option<u32>,
    attempt_timeout: Option<Duration>,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            order: Order::default(),
            deadline: None,
            retry: None,
            rate_limit: None,
            breaker: None,
            bulkhead: None,
            bulkhead_limit: None,
            attempt_timeout: None,
        }
    }

    /// Gives the whole call, all attempts and waits together, so much time.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.order.push(Stage::Deadline);
        self.deadline = Some(limit);
        self
    }

    /// Tries again what failed for a reason that may pass.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.order.push(Stage::Retry);
        self.retry = Some(retry);
        self
    }

    /// Rejects attempts that come too often.
    pub fn rate_limit(mut self, limiter: RateLimiter) -> Self {
        self.order.push(Stage::RateLimit);
        self.rate_limit = Some(limiter);
        self
    }

    /// Rejects attempts while the service fails.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.order.push(Stage::Breaker);
        self.breaker = Some(breaker);
        self
    }

    /// Bounds how many attempts run at once.
    pub fn bulkhead(mut self, bulkhead: Bulkhead) -> Self {
        self.order.push(Stage::Bulkhead);
        self.bulkhead = Some(bulkhead);
        self
    }

    /// Bounds how many attempts run at once by a bulkhead of its own, of the pipeline's name.
    pub fn bulkhead_limit(mut self, limit: u32) -> Self {
        self.order.push(Stage::Bulkhead);
        self.bulkhead_limit = Some(limit);
        self
    }

    /// Gives up an attempt that takes so long.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.order.push(Stage::AttemptTimeout);
        self.attempt_timeout = Some(limit);
        self
    }

    /// Checks the order and the times, and makes the pipeline.
    ///
    /// # Errors
    ///
    /// All problems at once: a part that stands outside of one it belongs inside of, or comes twice; a
    /// time of zero; an attempt that may take longer than the whole call.
    pub fn build(self) -> Result<Pipeline, ConfigError> {
        let mut problems = Problems::default();
        self.order.check(&mut problems);
        check_times(self.deadline, self.attempt_timeout, &mut problems);
        let own = self.bulkhead_limit.map(|limit| {
            let bulkhead = Bulkhead::builder(Arc::clone(&self.name));
            bulkhead.limit(limit).build()
        });
        let own = own.and_then(|built| part("bulkhead", built, &mut problems));
        problems.into_result()?;
        let deadline = |limit| Deadline::named(Arc::clone(&self.name), limit);
        let attempt_timeout = |limit| Timeout::named(Arc::clone(&self.name), limit);
        Ok(Pipeline::new(Parts {
            deadline: self.deadline.map(deadline).transpose()?,
            retry: self.retry,
            rate_limit: self.rate_limit,
            breaker: self.breaker,
            bulkhead: self.bulkhead.or(own),
            attempt_timeout: self.attempt_timeout.map(attempt_timeout).transpose()?,
            meters: Meters::new(&self.name),
            changing: Mutex::new(()),
            name: self.name,
        }))
    }
}

/// The pipeline `name` by a policy: every part has the pipeline's name.
pub(super) fn from_config(name: Arc<str>, config: Config) -> Result<Pipeline, ConfigError> {
    config.check()?;
    let mut builder = Builder::new(Arc::clone(&name));
    builder.deadline = config.deadline;
    builder.attempt_timeout = config.attempt_timeout;
    let budget = config.retry_budget;
    if let Some(config) = config.retry {
        let retry = Retry::builder().name(Arc::clone(&name)).config(config);
        // Without a bound, retries make an outage out of a failure: who wants none has to say so.
        let budget = budget.unwrap_or_else(|| budget::Config::default().into());
        let retry = match budget {
            BudgetPolicy::Bounded(budget) => {
                let name = Arc::clone(&name);
                retry.budget(RetryBudget::builder(name).config(budget).build()?)
            }
            BudgetPolicy::Without => retry.without_budget(),
        };
        builder.retry = Some(retry.build()?);
    }
    if let Some(config) = config.rate_limit {
        let limiter = RateLimiter::builder(Arc::clone(&name)).config(config);
        builder.rate_limit = Some(limiter.build()?);
    }
    if let Some(config) = config.breaker {
        let breaker = Breaker::builder(Arc::clone(&name)).config(config);
        builder.breaker = Some(breaker.build()?);
    }
    if let Some(config) = config.bulkhead {
        builder.bulkhead = Some(Bulkhead::builder(name).config(config).build()?);
    }
    builder.build()
}

/// What was built, or its problems under `field`.
fn part<T>(field: &str, built: Result<T, ConfigError>, problems: &mut Problems) -> Option<T> {
    match built {
        Ok(part) => Some(part),
        Err(error) => {
            problems.extend(field, error);
            None
        }
    }
}
