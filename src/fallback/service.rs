use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::{Fallback, Substitute};
use crate::classify::Classify;

/// A service with a fallback.
#[derive(Debug, Clone)]
pub struct FallbackService<S, A, C> {
    inner: S,
    fallback: Fallback<A>,
    classifier: C,
}

impl<S, A, C> FallbackService<S, A, C> {
    pub(super) const fn new(inner: S, fallback: Fallback<A>, classifier: C) -> Self {
        Self {
            inner,
            fallback,
            classifier,
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

    /// The service without the fallback.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, A, C, Req> Service<Req> for FallbackService<S, A, C>
where
    S: Service<Req>,
    A: Substitute<Req, S::Response, S::Error> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, A, C, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let kept = self.fallback.substitute().keep(&request);
        let call = self.inner.call(request);
        ResponseFuture::new(call, self.fallback.clone(), self.classifier.clone(), kept)
    }
}
