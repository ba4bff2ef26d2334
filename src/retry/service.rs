use std::task::{Context, Poll};

use tower::Service;

use super::future::ResponseFuture;
use super::judge::Judge;
use super::spare::{Spare, Spares};
use super::{Predicate, Retry};
use crate::classify::Classify;
use crate::error::Rejected;
use crate::request::CloneRequest;

/// A service that tries again.
#[derive(Debug, Clone)]
pub struct RetryService<S, J, R> {
    inner: S,
    spares: Spares<S>,
    retry: Retry,
    judge: J,
    requests: R,
}

impl<S, J, R> RetryService<S, J, R> {
    pub(super) fn new(inner: S, retry: Retry, (judge, requests): (J, R)) -> Self {
        Self {
            inner,
            spares: Spares::new(),
            retry,
            judge,
            requests,
        }
    }

    /// The service that is tried.
    #[must_use]
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service that is tried, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        self.spares = Spares::new();
        &mut self.inner
    }

    /// The service without the retry.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, P, R, Req> Service<Req> for RetryService<S, Judge<C, P>, R>
where
    S: Service<Req> + Clone,
    S::Error: From<Rejected> + 'static,
    C: Classify<S::Response, S::Error> + Clone,
    P: Predicate<Req, S::Response, S::Error> + Clone,
    R: CloneRequest<Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Judge<C, P>, R, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let again = self.retry.may_retry();
        let again = again.then(|| self.requests.clone_request(&request));
        // The one that was made ready makes the first attempt; later ones wait for their own readiness.
        let again = again.flatten();
        let spare = match again {
            Some(_) => self.spares.spare(&self.inner),
            None => Spare::NONE,
        };
        let parts = (self.judge.clone(), self.requests.clone());
        let first = || self.inner.call(request);
        ResponseFuture::new(self.retry.begin(), parts, again, spare, first)
    }
}
