use tower::Layer;

use super::{RateLimitService, RateLimiter, WaitingService};

/// Puts services behind one [`RateLimiter`] that rejects what is too much.
#[derive(Debug, Clone)]
pub struct RateLimitLayer {
    limiter: RateLimiter,
}

/// Puts services behind one [`RateLimiter`] that lets calls wait.
#[derive(Debug, Clone)]
pub struct WaitingLayer {
    limiter: RateLimiter,
}

impl RateLimitLayer {
    pub(super) const fn new(limiter: RateLimiter) -> Self {
        Self { limiter }
    }
}

impl WaitingLayer {
    pub(super) const fn new(limiter: RateLimiter) -> Self {
        Self { limiter }
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService::new(inner, self.limiter.clone())
    }
}

impl<S> Layer<S> for WaitingLayer {
    type Service = WaitingService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WaitingService::new(inner, self.limiter.clone())
    }
}
