use std::task::{Context, Poll};

use tower::Service;

use super::Config;
use super::future::ResponseFuture;
use crate::classify::Classify;
use crate::error::Rejected;
use crate::request::CloneRequest;

/// A service that tries again.
#[derive(Debug, Clone)]
pub struct RetryService<S, C, R> {
    inner: S,
    config: Config,
    classifier: C,
    requests: R,
}

impl<S, C, R> RetryService<S, C, R> {
    pub(super) const fn new(inner: S, config: Config, classifier: C, requests: R) -> Self {
        Self {
            inner,
            config,
            classifier,
            requests,
        }
    }

    /// The service that is tried.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that is tried, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service without the retry.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R, Req> Service<Req> for RetryService<S, C, R>
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error> + Clone,
    R: CloneRequest<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, R, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // The clone that was made ready must make the first attempt; a fresh one stays behind.
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        let parts = (self.classifier.clone(), self.requests.clone());
        ResponseFuture::new(ready, self.config, parts, request)
    }
}
