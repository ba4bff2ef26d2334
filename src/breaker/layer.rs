use tower::Layer;

use super::body::BodyLayer;
use super::{Breaker, BreakerService};
use crate::classify::AnyError;

/// Puts services behind one [`Breaker`].
#[derive(Debug, Clone)]
pub struct BreakerLayer<C = AnyError> {
    breaker: Breaker,
    classifier: C,
}

impl BreakerLayer {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            classifier: AnyError,
        }
    }
}

impl<C> BreakerLayer<C> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> BreakerLayer<D> {
        BreakerLayer {
            breaker: self.breaker,
            classifier,
        }
    }

    /// Takes an HTTP answer for a success only when its body has come to its end: one that breaks off
    /// is a transient failure, one that is dropped a cancelled call. A probe keeps its place until
    /// then. What the classifier says of the head holds unless it is a success.
    #[must_use]
    pub fn record_on_body_end(self) -> BodyLayer<C> {
        BodyLayer::new(self.breaker, self.classifier)
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(inner, self.breaker.clone(), self.classifier.clone())
    }
}
