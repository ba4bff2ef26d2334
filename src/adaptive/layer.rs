use tower::Layer;

use super::{Adaptive, AdaptiveService};
use crate::classify::AnyError;

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
