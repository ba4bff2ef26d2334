use std::task::{Context, Poll};

use tower::Service;

use super::RateLimiter;
use super::future::ResponseFuture;
use crate::error::Rejected;

/// A service behind a [`RateLimiter`] that rejects what is too much.
#[derive(Debug, Clone)]
pub struct RateLimitService<S> {
    inner: S,
    limiter: RateLimiter,
}

impl<S> RateLimitService<S> {
    pub(super) const fn new(inner: S, limiter: RateLimiter) -> Self {
        Self { inner, limiter }
    }

    /// The service behind the limiter.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the limiter, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the limiter.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Service<Req> for RateLimitService<S>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // A permit is taken by the call, so that a ready service that is never called costs none.
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        self.limiter.call_now(&mut self.inner, request)
    }
}

impl RateLimiter {
    /// Calls `service` with a permit that is there now, or rejects the call.
    #[inline]
    pub(super) fn call_now<S, Req>(
        &self,
        service: &mut S,
        request: Req,
    ) -> ResponseFuture<S::Future>
    where
        S: Service<Req>,
    {
        match self.try_acquire() {
            Ok(()) => ResponseFuture::called(service.call(request)),
            Err(rejected) => ResponseFuture::rejected(rejected),
        }
    }
}
