use std::sync::Arc;

use tower::Layer;

use super::core::Parts;
use super::part::Behind;
use super::{Part, PipelineService};
use crate::breaker::{Breaker, BreakerLayer};
use crate::bulkhead::{Bulkhead, BulkheadLayer};
use crate::classify::AnyError;
use crate::rate::{RateLimiter, WaitingLayer};
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
type Limited<S, C> = Behind<WaitingLayer, Broken<S, C>>;
type Tried<S, C, P, R> = Behind<RetryLayer<Judge<C, P>, R>, Limited<S, C>>;
type Bounded<S, C, P, R> = Behind<DeadlineLayer, Tried<S, C, P, R>>;

impl<S, C: Clone, P: Clone, R: Clone> Layer<S> for PipelineLayer<C, P, R> {
    type Service = PipelineService<Bounded<S, C, P, R>, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let parts = &*self.parts;
        let breaker = |breaker: &Breaker| breaker.layer().with_classifier(self.classifier.clone());
        let retry = |retry: &Retry| {
            let retry = retry.layer().with_classifier(self.classifier.clone());
            let retry = retry.with_predicate(self.predicate.clone());
            retry.with_requests(self.requests.clone())
        };
        let timed = Part::of(parts.attempt_timeout.as_ref().map(Timeout::layer), inner);
        let placed = Part::of(parts.bulkhead.as_ref().map(Bulkhead::layer), timed);
        let broken = Part::of(parts.breaker.as_ref().map(breaker), placed);
        let limiter = parts.rate_limit.as_ref();
        let limited = Part::of(limiter.map(RateLimiter::waiting_layer), broken);
        let tried = Part::of(parts.retry.as_ref().map(retry), limited);
        let bounded = Part::of(parts.deadline.as_ref().map(Deadline::layer), tried);
        PipelineService::new(bounded, Arc::clone(&self.parts), self.classifier.clone())
    }
}
