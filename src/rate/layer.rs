use tower::{Layer, Service};

use super::future::{ResponseFuture, WaitingFuture};
use super::{RateLimitService, RateLimiter, WaitingService};
use crate::error::Rejected;
use crate::keyed::Protect;

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

impl<S, Req> Protect<S, Req> for RateLimitLayer
where
    S: Service<Req>,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.limiter.call_now(service, request)
    }
}

impl<S, Req> Protect<S, Req> for WaitingLayer
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Future = WaitingFuture<S, Req>;

    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.limiter.call_in_turn(service, request)
    }
}
