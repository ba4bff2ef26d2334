use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, Entry};
use super::{Health, Importance};
use crate::config::{ConfigError, Problems, duration};

/// Builds a [`Health`].
#[must_use = "a builder does nothing until it is built"]
#[derive(Default)]
pub struct Builder {
    checks: Vec<(Arc<str>, Importance, Arc<dyn Check>)>,
    options: Options,
}

#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: NonZeroU32,
    pub(super) fall: NonZeroU32,
}

impl Builder {
    /// Two bad results in a row take a check down unless said otherwise, so that one lost packet
    /// does not.
    pub const DEFAULT_FALL: NonZeroU32 = NonZeroU32::new(2).unwrap();
    /// The time between two rounds unless said otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
    /// The longest interval and the longest timeout: whoever looks less often need not look.
    pub const LONGEST: Duration = Duration::from_secs(3_600);
    /// One good result brings a check up unless said otherwise.
    pub const DEFAULT_RISE: NonZeroU32 = NonZeroU32::MIN;
    /// The time for one check unless said otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// Adds a dependency without which the process cannot work.
    pub fn critical(self, name: impl Into<Arc<str>>, check: impl Check) -> Self {
        self.check(name.into(), Importance::Critical, Arc::new(check))
    }

    /// Adds a dependency without which the process works less well.
    pub fn degraded(self, name: impl Into<Arc<str>>, check: impl Check) -> Self {
        self.check(name.into(), Importance::Degraded, Arc::new(check))
    }

    /// Sets the time between two rounds of checks.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.options.interval = interval;
        self
    }

    /// Sets the time for one check.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how many good results in a row bring a check up again.
    pub fn rise(mut self, results: NonZeroU32) -> Self {
        self.options.rise = results;
        self
    }

    /// Sets how many bad results in a row take a check down.
    pub fn fall(mut self, results: NonZeroU32) -> Self {
        self.options.fall = results;
        self
    }

    /// The health of this process; nothing is checked before [`Health::run`] or
    /// [`Health::refresh`].
    ///
    /// # Errors
    ///
    /// A name that is used twice, an interval or a timeout that is zero or above [`LONGEST`](Self::LONGEST).
    pub fn build(self) -> Result<Health, ConfigError> {
        let mut problems = Problems::default();
        for (index, (name, ..)) in self.checks.iter().enumerate() {
            let twice = self
                .checks
                .iter()
                .take(index)
                .any(|(other, ..)| other == name);
            problems.check(!twice, "check", name, "each name once");
        }
        for (field, value) in [
            ("interval", self.options.interval),
            ("timeout", self.options.timeout),
        ] {
            let allowed = Duration::from_nanos(1)..=Self::LONGEST;
            let shown = duration::format(value);
            problems.check(allowed.contains(&value), field, shown, "more than 0s to 1h");
        }
        problems.into_result()?;
        let checks = self.checks.into_iter();
        let entries = checks.map(|(name, importance, check)| Entry::new(name, importance, check));
        Ok(Health::new(self.options, entries.collect()))
    }

    fn check(mut self, name: Arc<str>, importance: Importance, check: Arc<dyn Check>) -> Self {
        self.checks.push((name, importance, check));
        self
    }
}

impl Options {
    pub(super) fn stale_after(&self) -> Duration {
        self.interval.saturating_add(self.timeout).saturating_mul(3)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            interval: Builder::DEFAULT_INTERVAL,
            timeout: Builder::DEFAULT_TIMEOUT,
            rise: Builder::DEFAULT_RISE,
            fall: Builder::DEFAULT_FALL,
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .checks
            .iter()
            .map(|(name, importance, _)| (name, importance));
        f.debug_struct("Builder")
            .field("checks", &names.collect::<Vec<_>>())
            .field("options", &self.options)
            .finish()
    }
}
