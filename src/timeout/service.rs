use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::{Deadline, Limits, Timeout};
use crate::deadline::Within;
use crate::error::Rejected;

/// A service whose calls are given up when they take too long.
#[derive(Debug, Clone)]
pub struct TimeoutService<S, L> {
    inner: S,
    timeout: Timeout,
    limits: L,
}

/// A service whose calls have a deadline.
#[derive(Debug, Clone)]
pub struct DeadlineService<S, L> {
    inner: S,
    deadline: Deadline,
    limits: L,
}

impl<S, L> TimeoutService<S, L> {
    pub(super) const fn new(inner: S, timeout: Timeout, limits: L) -> Self {
        Self {
            inner,
            timeout,
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
    pub(super) const fn new(inner: S, deadline: Deadline, limits: L) -> Self {
        Self {
            inner,
            deadline,
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
        let limit = self.limits.limit(&request);
        let limit = limit.unwrap_or_else(|| self.timeout.limit());
        self.timeout.limited(limit, self.inner.call(request))
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
        let limit = self.limits.limit(&request);
        let limit = limit.unwrap_or_else(|| self.deadline.limit());
        self.deadline.begin(limit, || self.inner.call(request))
    }
}
