use std::task::{Context, Poll};

use tower::Service;

use super::Hedge;
use super::future::ResponseFuture;
use crate::classify::Classify;
use crate::request::CloneRequest;

/// A service that hedges.
#[derive(Debug, Clone)]
pub struct HedgeService<S, C, R> {
    inner: S,
    hedge: Hedge,
    classifier: C,
    requests: R,
}

impl<S, C, R> HedgeService<S, C, R> {
    pub(super) fn new(inner: S, hedge: Hedge, (classifier, requests): (C, R)) -> Self {
        Self {
            inner,
            hedge,
            classifier,
            requests,
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

    /// The service without the hedge.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R, Req> Service<Req> for HedgeService<S, C, R>
where
    S: Service<Req> + Clone,
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
        let parts = (self.classifier.clone(), self.requests.clone());
        ResponseFuture::new(&mut self.inner, self.hedge.clone(), parts, request)
    }
}
