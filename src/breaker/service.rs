use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::{Breaker, Permit};
use crate::classify::Classify;
use crate::error::Rejected;

/// A service behind a [`Breaker`].
#[derive(Debug, Clone)]
pub struct BreakerService<S, C> {
    inner: S,
    breaker: Breaker,
    classifier: C,
}

impl<S, C> BreakerService<S, C> {
    pub(super) const fn new(inner: S, breaker: Breaker, classifier: C) -> Self {
        Self {
            inner,
            breaker,
            classifier,
        }
    }

    /// The service behind the breaker.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the breaker, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the breaker.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C: Clone> BreakerService<S, C> {
    #[inline]
    fn called<Req>(&mut self, request: Req, permit: Permit) -> ResponseFuture<S::Future, C>
    where
        S: Service<Req>,
    {
        ResponseFuture::called(self.inner.call(request), permit, self.classifier.clone())
    }
}

impl<S, C, Req> Service<Req> for BreakerService<S, C>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Admission is decided by the call, so that a ready service that is never called holds
        // nothing.
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        // Two ways to the same future: one that both came to would be written twice.
        let permit = match self.breaker.pass() {
            Some(permit) => return self.called(request, permit),
            None => self.breaker.admit(),
        };
        match permit {
            Ok(permit) => self.called(request, permit),
            Err(rejected) => ResponseFuture::rejected(rejected),
        }
    }
}
