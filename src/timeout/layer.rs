use tower::Layer;

use super::{Deadline, DeadlineService, Fixed, Timeout, TimeoutService};

/// Gives services the policy of one [`Timeout`].
#[derive(Debug, Clone)]
pub struct TimeoutLayer<L = Fixed> {
    timeout: Timeout,
    limits: L,
}

/// Gives services the policy of one [`Deadline`].
#[derive(Debug, Clone)]
pub struct DeadlineLayer<L = Fixed> {
    deadline: Deadline,
    limits: L,
}

impl TimeoutLayer {
    pub(super) const fn new(timeout: Timeout) -> Self {
        let limits = Fixed;
        Self { timeout, limits }
    }
}

impl DeadlineLayer {
    pub(super) const fn new(deadline: Deadline) -> Self {
        let limits = Fixed;
        Self { deadline, limits }
    }
}

impl<L> TimeoutLayer<L> {
    /// Takes the limit of each request from `limits`, which may be a closure
    /// `Fn(&Req) -> Option<Duration>`.
    #[must_use]
    pub fn with_limits<M>(self, limits: M) -> TimeoutLayer<M> {
        let timeout = self.timeout;
        TimeoutLayer { timeout, limits }
    }
}

impl<L> DeadlineLayer<L> {
    /// Takes the limit of each request from `limits`, which may be a closure
    /// `Fn(&Req) -> Option<Duration>`: e.g. what its caller said in a header.
    #[must_use]
    pub fn with_limits<M>(self, limits: M) -> DeadlineLayer<M> {
        let deadline = self.deadline;
        DeadlineLayer { deadline, limits }
    }
}

impl<S, L: Clone> Layer<S> for TimeoutLayer<L> {
    type Service = TimeoutService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService::new(inner, self.timeout.clone(), self.limits.clone())
    }
}

impl<S, L: Clone> Layer<S> for DeadlineLayer<L> {
    type Service = DeadlineService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService::new(inner, self.deadline.clone(), self.limits.clone())
    }
}
