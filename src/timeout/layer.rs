use tower::Layer;

use super::{Config, DeadlineService, Fixed, TimeoutService};

/// Gives services the policy of one [`Timeout`](super::Timeout).
#[derive(Debug, Clone, Copy)]
pub struct TimeoutLayer<L = Fixed> {
    config: Config,
    limits: L,
}

/// Gives services the policy of one [`Deadline`](super::Deadline).
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer<L = Fixed> {
    config: Config,
    limits: L,
}

impl TimeoutLayer {
    pub(super) const fn new(config: Config) -> Self {
        let limits = Fixed;
        Self { config, limits }
    }
}

impl DeadlineLayer {
    pub(super) const fn new(config: Config) -> Self {
        let limits = Fixed;
        Self { config, limits }
    }
}

impl<L> TimeoutLayer<L> {
    /// Takes the limit of each request from `limits`, which may be a closure
    /// `Fn(&Req) -> Option<Duration>`.
    #[must_use]
    pub fn with_limits<M>(self, limits: M) -> TimeoutLayer<M> {
        let config = self.config;
        TimeoutLayer { config, limits }
    }
}

impl<L> DeadlineLayer<L> {
    /// Takes the limit of each request from `limits`, which may be a closure
    /// `Fn(&Req) -> Option<Duration>`: e.g. what its caller said in a header.
    #[must_use]
    pub fn with_limits<M>(self, limits: M) -> DeadlineLayer<M> {
        let config = self.config;
        DeadlineLayer { config, limits }
    }
}

impl<S, L: Clone> Layer<S> for TimeoutLayer<L> {
    type Service = TimeoutService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeoutService::new(inner, self.config, self.limits.clone())
    }
}

impl<S, L: Clone> Layer<S> for DeadlineLayer<L> {
    type Service = DeadlineService<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService::new(inner, self.config, self.limits.clone())
    }
}
