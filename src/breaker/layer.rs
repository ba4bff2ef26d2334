use tower::Layer;

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
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService::new(inner, self.breaker.clone(), self.classifier.clone())
    }
}
