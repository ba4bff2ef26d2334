use tower::Layer;

use super::judge::Judge;
use super::{AsClassified, CloneAll, Retry, RetryService};
use crate::classify::AnyError;

/// Gives services the policy of one [`Retry`].
#[derive(Debug, Clone)]
pub struct RetryLayer<J = Judge, R = CloneAll> {
    retry: Retry,
    judge: J,
    requests: R,
}

impl RetryLayer {
    pub(super) fn new(retry: Retry) -> Self {
        let judge = Judge {
            classifier: AnyError,
            predicate: AsClassified,
        };
        Self {
            retry,
            judge,
            requests: CloneAll,
        }
    }
}

impl<C, P, R> RetryLayer<Judge<C, P>, R> {
    /// Judges outcomes by `classifier`.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> RetryLayer<Judge<D, P>, R> {
        let predicate = self.judge.predicate;
        RetryLayer {
            retry: self.retry,
            judge: Judge {
                classifier,
                predicate,
            },
            requests: self.requests,
        }
    }

    /// Gives `predicate` the last word, see [`Predicate`](super::Predicate).
    #[must_use]
    pub fn with_predicate<Q>(self, predicate: Q) -> RetryLayer<Judge<C, Q>, R> {
        let classifier = self.judge.classifier;
        RetryLayer {
            retry: self.retry,
            judge: Judge {
                classifier,
                predicate,
            },
            requests: self.requests,
        }
    }

    /// Copies requests by `requests`; those it gives nothing for go only once.
    #[must_use]
    pub fn with_requests<Q>(self, requests: Q) -> RetryLayer<Judge<C, P>, Q> {
        RetryLayer {
            retry: self.retry,
            judge: self.judge,
            requests,
        }
    }
}

impl<S, J: Clone, R: Clone> Layer<S> for RetryLayer<J, R> {
    type Service = RetryService<S, J, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let parts = (self.judge.clone(), self.requests.clone());
        RetryService::new(inner, self.retry.clone(), parts)
    }
}
