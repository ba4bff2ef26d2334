use std::sync::Arc;

use tower::Layer;
use tower::util::{Either, option_layer};

use super::core::Parts;
use crate::breaker::{Breaker, BreakerLayer};
use crate::bulkhead::{Bulkhead, BulkheadLayer};
use crate::classify::AnyError;
use crate::rate::{RateLimitLayer, RateLimiter};
use crate::retry::{AsClassified, CloneAll, Judge, Retry, RetryLayer};
use crate::timeout::{Deadline, DeadlineLayer, Timeout, TimeoutLayer};

/// Puts services behind all parts of one [`Pipeline`](super::Pipeline).
#[derive(Debug, Clone)]
pub struct PipelineLayer<C = AnyError, P = AsClassified, R = CloneAll> {
    parts: Arc<Parts>,
    classifier: C,
    predicate: P,
    requests: R,
}

/// A service behind a part, or without it.
type Behind<L, S> = Either<<L as Layer<S>>::Service, S>;

impl PipelineLayer {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            classifier: AnyError,
            predicate: AsClassified,
            requests: CloneAll,
        }
    }
}

impl<C, P, R> PipelineLayer<C, P, R> {
    /// Judges outcomes by `classifier`, for retry and breaker.
    #[must_use]
    pub fn with_classifier<D>(self, classifier: D) -> PipelineLayer<D, P, R> {
        PipelineLayer {
            parts: self.parts,
            classifier,
            predicate: self.predicate,
            requests: self.requests,
        }
    }

    /// Gives `predicate` the last word on whether to try again, see
    /// [`Predicate`](crate::retry::Predicate).
    #[must_use]
    pub fn with_predicate<Q>(self, predicate: Q) -> PipelineLayer<C, Q, R> {
        PipelineLayer {
            parts: self.parts,
            classifier: self.classifier,
            predicate,
            requests: self.requests,
        }
    }

    /// Copies requests by `requests`; those it gives nothing for go only once.
    #[must_use]
    pub fn with_requests<Q>(self, requests: Q) -> PipelineLayer<C, P, Q> {
        PipelineLayer {
            parts: self.parts,
            classifier: self.classifier,
            predicate: self.predicate,
            requests,
        }
    }
}

type Timed<S> = Behind<TimeoutLayer, S>;
type Placed<S> = Behind<BulkheadLayer, Timed<S>>;
type Broken<S, C> = Behind<BreakerLayer<C>, Placed<S>>;
type Limited<S, C> = Behind<RateLimitLayer, Broken<S, C>>;
type Tried<S, C, P, R> = Behind<RetryLayer<Judge<C, P>, R>, Limited<S, C>>;
type Bounded<S, C, P, R> = Behind<DeadlineLayer, Tried<S, C, P, R>>;

impl<S, C: Clone, P: Clone, R: Clone> Layer<S> for PipelineLayer<C, P, R> {
    type Service = Bounded<S, C, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let parts = &*self.parts;
        let breaker = |breaker: &Breaker| breaker.layer().with_classifier(self.classifier.clone());
        let retry = |retry: &Retry| {
            let retry = retry.layer().with_classifier(self.classifier.clone());
            let retry = retry.with_predicate(self.predicate.clone());
            retry.with_requests(self.requests.clone())
        };
        let timed = option_layer(parts.attempt_timeout.as_ref().map(Timeout::layer)).layer(inner);
        let placed = option_layer(parts.bulkhead.as_ref().map(Bulkhead::layer)).layer(timed);
        let broken = option_layer(parts.breaker.as_ref().map(breaker)).layer(placed);
        let limited = option_layer(parts.rate_limit.as_ref().map(RateLimiter::layer)).layer(broken);
        let tried = option_layer(parts.retry.as_ref().map(retry)).layer(limited);
        option_layer(parts.deadline.as_ref().map(Deadline::layer)).layer(tried)
    }
}
