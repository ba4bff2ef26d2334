use tower::Layer;

use super::{CloneAll, Config, RetryService};
use crate::classify::AnyError;

/// Gives services the policy of one [`Retry`](super::Retry).
#[derive(Debug, Clone)]
pub struct RetryLayer<C = AnyError, R = CloneAll> {
    config: Config,
    classifier: C,
    requests: R,
}

impl RetryLayer {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            classifier: AnyError,
            requests: CloneAll,
        }
    }
}

impl<C, R> RetryLayer<C, R> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> RetryLayer<D, R> {
        RetryLayer {
            config: self.config,
            classifier,
            requests: self.requests,
        }
    }

    /// Copies requests by `requests`; those it gives nothing for go only once.
    #[must_use]
    pub fn with_requests<Q>(self, requests: Q) -> RetryLayer<C, Q> {
        RetryLayer {
            config: self.config,
            classifier: self.classifier,
            requests,
        }
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for RetryLayer<C, R> {
    type Service = RetryService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService::new(
            inner,
            self.config,
            self.classifier.clone(),
            self.requests.clone(),
        )
    }
}
