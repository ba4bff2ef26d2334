use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::core::Parts;
use super::future::ResponseFuture;
use super::witness::Witness;
use crate::classify::Classify;

/// A service behind all parts of a [`Pipeline`](super::Pipeline).
#[derive(Debug, Clone)]
pub struct PipelineService<S, C> {
    /// With the parts around it.
    inner: S,
    parts: Arc<Parts>,
    classifier: C,
}

impl<S, C> PipelineService<S, C> {
    pub(super) const fn new(inner: S, parts: Arc<Parts>, classifier: C) -> Self {
        Self {
            inner,
            parts,
            classifier,
        }
    }
}

impl<S, C, Req> Service<Req> for PipelineService<S, C>
where
    S: Service<Req>,
    S::Error: 'static,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let witness = Witness::new(&self.parts, || self.classifier.clone());
        ResponseFuture::new(self.inner.call(request), witness)
    }
}
