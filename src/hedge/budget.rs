use std::sync::Arc;

use crate::budget::RetryBudget;

/// What pays for hedges, so that they stay a small share of all calls. It may be shared with retries.
pub trait Budget: Send + Sync {
    /// A call has succeeded.
    fn deposit(&self);

    /// Whether one more attempt may be made; it is paid for then.
    fn try_withdraw(&self) -> bool;
}

impl<B: Budget + ?Sized> Budget for Arc<B> {
    fn deposit(&self) {
        (**self).deposit();
    }

    fn try_withdraw(&self) -> bool {
        (**self).try_withdraw()
    }
}

impl Budget for RetryBudget {
    fn deposit(&self) {
        Self::deposit(self);
    }

    fn try_withdraw(&self) -> bool {
        Self::try_withdraw(self)
    }
}

/// A budget into which somebody else pays.
pub(super) struct Shared<B>(pub(super) B);

impl<B: Budget> Budget for Shared<B> {
    fn deposit(&self) {}

    fn try_withdraw(&self) -> bool {
        self.0.try_withdraw()
    }
}
