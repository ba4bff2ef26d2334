use tower::Layer;

use super::{FailedOrRejected, Fallback, FallbackService};

/// Gives services one [`Fallback`].
#[derive(Debug, Clone)]
pub struct FallbackLayer<A, C = FailedOrRejected> {
    fallback: Fallback<A>,
    classifier: C,
}

impl<A> FallbackLayer<A> {
    pub(super) const fn new(fallback: Fallback<A>) -> Self {
        Self {
            fallback,
            classifier: FailedOrRejected,
        }
    }
}

impl<A, C> FallbackLayer<A, C> {
    /// Judges outcomes by `classifier`: what it calls a failure has a fallback.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> FallbackLayer<A, D> {
        FallbackLayer {
            fallback: self.fallback,
            classifier,
        }
    }
}

impl<S, A: Clone, C: Clone> Layer<S> for FallbackLayer<A, C> {
    type Service = FallbackService<S, A, C>;

    fn layer(&self, inner: S) -> Self::Service {
        FallbackService::new(inner, self.fallback.clone(), self.classifier.clone())
    }
}
