use std::sync::PoisonError;

use super::core::Parts;
use super::{BudgetPolicy, Config};
use crate::config::{ConfigError, Problems};
use crate::retry::Retry;
use crate::timeout;

impl Parts {
    /// Hands each part its policy of `config`, or changes nothing.
    pub(super) fn reconfigure(&self, config: &Config) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        config.check_into(&mut problems);
        self.check_parts(config, &mut problems);
        problems.into_result()?;
        let changing = self.changing.lock();
        let _changing = changing.unwrap_or_else(PoisonError::into_inner);
        self.change(config)
    }

    /// Adds to `problems` the parts that `config` has and the pipeline has not, and the other way round.
    fn check_parts(&self, config: &Config, problems: &mut Problems) {
        let retry = self.retry.as_ref();
        // What is not named stays as it is. Without a retry there is nobody to use a budget, whatever the
        // policy says.
        let named = config.retry_budget.filter(|_| retry.is_some());
        let budget = retry.and_then(Retry::budget).is_some();
        let named = named.map_or(budget, |named| named != BudgetPolicy::Without);
        let parts = [
            (
                "deadline",
                config.deadline.is_some(),
                self.deadline.is_some(),
            ),
            ("retry", config.retry.is_some(), retry.is_some()),
            ("retry_budget", named, budget),
            (
                "rate_limit",
                config.rate_limit.is_some(),
                self.rate_limit.is_some(),
            ),
            ("breaker", config.breaker.is_some(), self.breaker.is_some()),
            (
                "bulkhead",
                config.bulkhead.is_some(),
                self.bulkhead.is_some(),
            ),
            (
                "attempt_timeout",
                config.attempt_timeout.is_some(),
                self.attempt_timeout.is_some(),
            ),
        ];
        for (field, wanted, there) in parts {
            match (wanted, there) {
                (true, false) => problems.add(field, "a policy", "none: it was built without"),
                (false, true) => problems.add(field, "none", "a policy: it was built with one"),
                (true, true) | (false, false) => {}
            }
        }
    }

    fn change(&self, config: &Config) -> Result<(), ConfigError> {
        if let (Some(part), Some(limit)) = (&self.deadline, config.deadline) {
            part.reconfigure(timeout::Config::new(limit))?;
        }
        if let (Some(part), Some(config)) = (&self.retry, config.retry) {
            part.reconfigure(config)?;
        }
        let budget = self.retry.as_ref().and_then(Retry::budget);
        if let (Some(part), Some(BudgetPolicy::Bounded(config))) = (budget, config.retry_budget) {
            part.reconfigure(config)?;
        }
        if let (Some(part), Some(config)) = (&self.rate_limit, config.rate_limit) {
            part.reconfigure(config)?;
        }
        if let (Some(part), Some(config)) = (&self.breaker, &config.breaker) {
            part.reconfigure(config.clone())?;
        }
        if let (Some(part), Some(config)) = (&self.bulkhead, config.bulkhead) {
            part.reconfigure(config)?;
        }
        if let (Some(part), Some(limit)) = (&self.attempt_timeout, config.attempt_timeout) {
            part.reconfigure(timeout::Config::new(limit))?;
        }
        Ok(())
    }
}
