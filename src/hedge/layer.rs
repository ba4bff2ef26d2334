use tower::Layer;

use super::{Hedge, HedgeService};
use crate::classify::AnyError;
use crate::request::CloneAll;

/// Puts services behind one [`Hedge`].
#[derive(Debug, Clone)]
pub struct HedgeLayer<C = AnyError, R = CloneAll> {
    hedge: Hedge,
    classifier: C,
    requests: R,
}

impl HedgeLayer {
    pub(super) fn new(hedge: Hedge) -> Self {
        Self {
            hedge,
            classifier: AnyError,
            requests: CloneAll,
        }
    }
}

impl<C, R> HedgeLayer<C, R> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> HedgeLayer<D, R> {
        HedgeLayer {
            hedge: self.hedge,
            classifier,
            requests: self.requests,
        }
    }

    /// Copies requests by `requests`; those it gives nothing for go only once.
    #[must_use]
    pub fn with_requests<Q>(self, requests: Q) -> HedgeLayer<C, Q> {
        HedgeLayer {
            hedge: self.hedge,
            classifier: self.classifier,
            requests,
        }
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for HedgeLayer<C, R> {
    type Service = HedgeService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let parts = (self.classifier.clone(), self.requests.clone());
        HedgeService::new(inner, self.hedge.clone(), parts)
    }
}
