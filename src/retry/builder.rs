use std::sync::Arc;
use std::time::Duration;

use super::schedule::OwnSchedule;
use super::{Config, Retry};
use crate::backoff::Backoff;
use crate::budget::RetryBudget;
use crate::config::ConfigError;

/// Builds a [`Retry`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Option<Arc<str>>,
    config: Config,
    budget: Budget,
    schedule: Option<OwnSchedule>,
}

#[derive(Debug, Clone, Default)]
enum Budget {
    /// One of its own.
    #[default]
    Own,
    Given(RetryBudget),
    Without,
}

impl Builder {
    /// Names it in events and metrics, [`Retry::NAME`] unless it is given; most often after the service.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Takes the whole policy from `config`; a budget and a schedule of your own stay.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Makes so many attempts at most, the first one included.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// Waits by this schedule between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self.schedule = None;
        self
    }

    /// Waits by the delays that `begin` gives, which is asked once for each call that needs one. When they
    /// end there is no further attempt.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bowline::retry::Retry;
    ///
    /// let waits = [10, 200, 200].map(Duration::from_millis);
    /// let retry = Retry::builder().attempts(10).backoff_fn(move || waits).build()?;
    /// # Ok::<_, bowline::config::ConfigError>(())
    /// ```
    pub fn backoff_fn<F, I>(mut self, begin: F) -> Self
    where
        F: Fn() -> I + Send + Sync + 'static,
        I: IntoIterator<Item = Duration>,
        I::IntoIter: Send + 'static,
    {
        self.schedule = Some(OwnSchedule::new(begin));
        self
    }

    /// Gives all attempts and waits together so much time.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Gives each attempt so much time.
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.config.attempt_timeout = Some(limit);
        self
    }

    /// Waits no longer than this when the service asks for a wait: a call that is asked for more is not
    /// tried again.
    pub fn max_retry_after(mut self, limit: Duration) -> Self {
        self.config.max_retry_after = limit;
        self
    }

    /// Takes retries out of `budget`, which others may share.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Budget::Given(budget);
        self
    }

    /// Bounds retries by attempts and deadline alone.
    pub fn without_budget(mut self) -> Self {
        self.budget = Budget::Without;
        self
    }

    /// Checks the policy.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn build(self) -> Result<Retry, ConfigError> {
        self.config.check()?;
        let name = self.name.unwrap_or_else(|| Retry::NAME.into());
        let budget = match self.budget {
            Budget::Own => Some(RetryBudget::builder(Arc::clone(&name)).build()?),
            Budget::Given(budget) => Some(budget),
            Budget::Without => None,
        };
        Ok(Retry::new(name, self.config, budget, self.schedule))
    }
}
