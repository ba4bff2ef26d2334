use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::total::begin;
use super::{Config, Limits};
use crate::deadline::Within;
use crate::error::Rejected;

/// A service whose calls are given up when they take too long.
#[derive(Debug, Clone)]
pub struct TimeoutService<S, L> {
    inner: S,
    config: Config,
    limits: L,
}

/// A service whose calls have a deadline.
#[derive(Debug, Clone)]
pub struct DeadlineService<S, L> {
    inner: S,
    config: Config,
    limits: L,
}

impl<S, L> TimeoutService<S, L> {
    pub(super) const fn new(inner: S, config: Config, limits: L) -> Self {
        Self {
            inner,
            config,
            limits,
        }
    }

    /// The service that is called.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that is called, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the timeout.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, L> DeadlineService<S, L> {
    pub(super) const fn new(inner: S, config: Config, limits: L) -> Self {
        Self {
            inner,
            config,
            limits,
        }
    }

    /// The service that is called.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that is called, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the deadline.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, L, Req> Service<Req> for TimeoutService<S, L>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    L: Limits<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // The time of a call begins with the call, not with the wait for a place.
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let limit = self.limits.limit(&request).unwrap_or(self.config.limit);
        ResponseFuture::new(self.inner.call(request), limit)
    }
}

impl<S, L, Req> Service<Req> for DeadlineService<S, L>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    L: Limits<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Within<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let limit = self.limits.limit(&request).unwrap_or(self.config.limit);
        begin(limit, || self.inner.call(request))
    }
}
