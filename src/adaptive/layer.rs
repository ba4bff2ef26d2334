use tower::{Layer, Service};

use super::future::ResponseFuture;
use super::{Adaptive, AdaptiveService};
use crate::classify::{AnyError, Classify};
use crate::error::Rejected;
use crate::keyed::Protect;

/// Puts services behind one [`Adaptive`] limit.
#[derive(Debug, Clone)]
pub struct AdaptiveLayer<C = AnyError> {
    limit: Adaptive,
    classifier: C,
}

impl AdaptiveLayer {
    pub(super) fn new(limit: Adaptive) -> Self {
        Self {
            limit,
            classifier: AnyError,
        }
    }
}

impl<C> AdaptiveLayer<C> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> AdaptiveLayer<D> {
        AdaptiveLayer {
            limit: self.limit,
            classifier,
        }
    }
}

impl<S, C: Clone> Layer<S> for AdaptiveLayer<C> {
    type Service = AdaptiveService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        AdaptiveService::new(inner, self.limit.clone(), self.classifier.clone())
    }
}

impl<S, C, Req> Protect<S, Req> for AdaptiveLayer<C>
where
    S: Service<Req>,
    S::Error: From<Rejected>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn protect(&self, service: &mut S, request: Req) -> Self::Future {
        self.limit.call_now(service, request, &self.classifier)
    }
}
