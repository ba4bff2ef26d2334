use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::account::{Account, Cost, RETRY};
use super::meters::Meters;
use super::{Builder, Config, Snapshot};
use crate::classify::Failure;
use crate::config::{ConfigError, Ratio};

/// Bounds the share of calls that are retries; see the [module docs](super).
///
/// Clones are the same budget.
#[derive(Clone)]
pub struct RetryBudget(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    settled: Settled,
    account: Mutex<Account>,
    meters: Meters,
}

/// Whether a deposit would change nothing that matters. It is read by every call and kept by those that
/// change the account, under its lock; it has its cache lines for itself.
#[repr(align(128))]
struct Settled(AtomicBool);

impl RetryBudget {
    /// So many of 256 deposits look at the clock while the budget is settled: one in 64.
    const LOOKS: u8 = 4;
    /// The name of a budget that was given none.
    pub const NAME: &'static str = "retry";

    /// A budget with the defaults of the [module docs](super), for the service `name`.
    pub fn builder(name: impl Into<Arc<str>>) -> Builder {
        Builder::new(name.into())
    }

    /// A budget of so many retries for each call, with the defaults of the [module docs](super) else.
    #[must_use]
    pub fn new(ratio: Ratio) -> Self {
        let config = Config {
            ratio: ratio.value(),
            ..Config::default()
        };
        Self::made(Self::NAME.into(), &config)
    }

    pub(super) fn made(name: Arc<str>, config: &Config) -> Self {
        let account = Account::new(config, Instant::now());
        let settled = Settled(AtomicBool::new(account.is_settled()));
        let meters = Meters::new(&name, account.balance());
        Self(Arc::new(Inner {
            name,
            settled,
            account: Mutex::new(account),
            meters,
        }))
    }

    /// Pays in for one call. To be done once for each that has reached the service, and not for one that
    /// was refused on its way: else what was refused in an outage pays for the retries that come after it.
    #[inline]
    pub fn deposit(&self) {
        if self.is_due() {
            self.pay_in();
        }
    }

    /// Whether a deposit now would be written down.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        !self.0.settled.0.load(Ordering::Relaxed) || fastrand::u8(..) < Self::LOOKS
    }

    /// Writes a deposit down.
    #[cold]
    pub(crate) fn pay_in(&self) {
        let now = Instant::now();
        self.with(|account| account.deposit(now));
    }

    /// Takes out one retry; false when there is none to be had.
    #[must_use = "without it there must be no retry"]
    pub fn try_withdraw(&self) -> bool {
        self.withdraw(Cost::Retry)
    }

    /// Takes out one retry after `failure`, which costs more when it was throttled; false when there is
    /// none to be had.
    #[must_use = "without it there must be no retry"]
    pub fn try_withdraw_after(&self, failure: Failure) -> bool {
        self.withdraw(match failure {
            Failure::Throttled { .. } => Cost::Throttled,
            Failure::Permanent | Failure::Transient => Cost::Retry,
        })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// All there is to see, for an operations page.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let sight = self.with(|account| account.sight(now));
        Snapshot {
            name: Arc::clone(&self.0.name),
            balance: sight.balance as f64 / RETRY as f64,
            withdrawn: sight.withdrawn,
            refused: sight.refused,
        }
    }

    /// Takes on another policy from now on. What was saved stays, up to the new capacity.
    ///
    /// # Errors
    ///
    /// All problems of the policy at once; nothing is changed then.
    pub fn reconfigure(&self, config: Config) -> Result<(), ConfigError> {
        config.check()?;
        let now = Instant::now();
        self.with(|account| account.reconfigure(&config, now));
        Ok(())
    }

    fn withdraw(&self, cost: Cost) -> bool {
        let now = Instant::now();
        let granted = self.with(|account| account.withdraw(cost, now));
        self.0.meters.asked(granted);
        granted
    }

    /// Uses the account under its lock. It is whole after every change, so a panic elsewhere leaves it
    /// usable.
    fn with<T>(&self, using: impl FnOnce(&mut Account) -> T) -> T {
        let Inner {
            settled,
            account,
            meters,
            ..
        } = &*self.0;
        let mut account = account.lock().unwrap_or_else(PoisonError::into_inner);
        let before = account.balance();
        let used = using(&mut account);
        meters.moved(before, account.balance());
        if settled.0.load(Ordering::Relaxed) != account.is_settled() {
            settled.0.store(account.is_settled(), Ordering::Relaxed);
        }
        used
    }
}

/// What it holds is nobody's any more.
impl Drop for Inner {
    fn drop(&mut self) {
        let account = self.account.get_mut();
        let left = account.unwrap_or_else(PoisonError::into_inner).balance();
        self.meters.moved(left, 0);
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("name", &self.0.name)
            .finish_non_exhaustive()
    }
}
