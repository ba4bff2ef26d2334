use std::task::{Context, Poll};

use tower::Service;

use super::Adaptive;
use super::future::ResponseFuture;
use crate::classify::Classify;
use crate::error::Rejected;

/// A service behind an [`Adaptive`] limit.
#[derive(Debug, Clone)]
pub struct AdaptiveService<S, C> {
    inner: S,
    limit: Adaptive,
    classifier: C,
}

impl<S, C> AdaptiveService<S, C> {
    pub(super) const fn new(inner: S, limit: Adaptive, classifier: C) -> Self {
        Self {
            inner,
            limit,
            classifier,
        }
    }

    /// The service behind the limit.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service behind the limit, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the limit.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, Req> Service<Req> for AdaptiveService<S, C>
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
        let classifier = &self.classifier;
        self.limit.call_now(&mut self.inner, request, classifier)
    }
}

impl Adaptive {
    /// Calls `service` if the limit lets it, or rejects the call.
    #[inline]
    pub(super) fn call_now<S, C, Req>(
        &self,
        service: &mut S,
        request: Req,
        classifier: &C,
    ) -> ResponseFuture<S::Future, C>
    where
        S: Service<Req>,
        C: Clone,
    {
        match self.try_acquire() {
            Ok(permit) => ResponseFuture::called(service.call(request), permit, classifier.clone()),
            Err(rejected) => ResponseFuture::rejected(rejected),
        }
    }
}
