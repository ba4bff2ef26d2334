use std::fmt;
use std::sync::Arc;

use super::budget::Shared;
use super::{Budget, Config, Delay, Hedge};
use crate::budget::RetryBudget;
use crate::config::ConfigError;

/// Builds a [`Hedge`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: Arc<str>,
    config: Config,
    budget: Paying,
}

#[derive(Clone, Default)]
enum Paying {
    /// One of its own.
    #[default]
    Own,
    Given(Arc<dyn Budget>),
    Without,
}

impl Builder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            config: Config::default(),
            budget: Paying::Own,
        }
    }

    /// Takes the whole policy from `config`.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Waits so long for an attempt before the next one begins beside it.
    pub fn delay(mut self, delay: Delay) -> Self {
        self.config.delay = delay;
        self
    }

    /// Makes so many attempts at most, the first one included.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// Pays for further attempts from `budget`, into which each call that succeeds pays in.
    pub fn budget(mut self, budget: impl Budget + 'static) -> Self {
        self.budget = Paying::Given(Arc::new(budget));
        self
    }

    /// Pays for further attempts from `budget`, into which somebody else pays in, such as a
    /// retry around the same calls: one budget then bounds both together.
    pub fn shared_budget(mut self, budget: impl Budget + 'static) -> Self {
        self.budget = Paying::Given(Arc::new(Shared(budget)));
        self
    }

    /// Lets further attempts cost nothing.
    pub fn without_budget(mut self) -> Self {
        self.budget = Paying::Without;
        self
    }

    /// Checks the policy and makes the hedge.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once.
    pub fn build(self) -> Result<Hedge, ConfigError> {
        self.config.check()?;
        let budget: Option<Arc<dyn Budget>> = match self.budget {
            Paying::Own => {
                let budget = RetryBudget::builder(Arc::clone(&self.name));
                Some(Arc::new(budget.ratio(Config::BUDGET_RATIO).build()?))
            }
            Paying::Given(budget) => Some(budget),
            Paying::Without => None,
        };
        Ok(Hedge::new(self.name, self.config, budget))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
