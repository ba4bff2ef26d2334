use std::sync::Arc;

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
