use std::time::Duration;

use crate::classify::{AnyError, Classify, Failure, Outcome};
use crate::error::{Rejected, rejected};

/// Has the last word on whether a call is tried again, with the request in sight.
///
/// It is asked after the classifier, whenever another attempt could follow: also for a success. Not asked
/// for the last attempt, nor for a request that can go only once.
///
/// Implemented for closures `Fn(&Req, Result<&Res, &Err>) -> Decision`.
pub trait Predicate<Req, Res, Err> {
    /// What is to become of `request` after `result`.
    fn decide(&self, request: &Req, result: Result<&Res, &Err>) -> Decision;
}

/// What a [`Predicate`] wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three answers")]
pub enum Decision {
    /// As the classifier has it.
    AsClassified,
    /// Try again, if there is time, an attempt and a budget for it: as after a transient failure, unless
    /// the classifier calls it throttled.
    Retry,
    /// Return the result as it is.
    Stop,
}

/// The predicate that leaves it to the classifier.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct AsClassified;

/// Decides what a result means for a call: a classifier, and a predicate after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judge<C = AnyError, P = AsClassified> {
    pub(super) classifier: C,
    pub(super) predicate: P,
}

/// What becomes of a call after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its result is returned: it needs no further attempt, or is not to have one.
    Return(Outcome),
    /// Its result is returned for want of another attempt.
    GiveUp,
    /// It is tried again, for the budget's money.
    Retry(Failure),
    /// An open breaker has refused it, and may let it through after so long.
    Wait(Duration),
}

impl<Req, Res, Err> Predicate<Req, Res, Err> for AsClassified {
    #[inline]
    fn decide(&self, _request: &Req, _result: Result<&Res, &Err>) -> Decision {
        Decision::AsClassified
    }
}

impl<F, Req, Res, Err> Predicate<Req, Res, Err> for F
where
    F: Fn(&Req, Result<&Res, &Err>) -> Decision,
{
    #[inline]
    fn decide(&self, request: &Req, result: Result<&Res, &Err>) -> Decision {
        self(request, result)
    }
}

impl<C, P> Judge<C, P> {
    /// What becomes of the call of `request` after `result`.
    #[inline]
    pub(super) fn judge<Req, Res, Err>(&self, request: &Req, result: Result<&Res, &Err>) -> Verdict
    where
        Err: 'static,
        C: Classify<Res, Err>,
        P: Predicate<Req, Res, Err>,
    {
        let outcome = self.classifier.classify(result);
        match (self.predicate.decide(request, result), outcome) {
            (Decision::Stop, _)
            | (Decision::AsClassified, Outcome::Success | Outcome::Failure(Failure::Permanent)) => {
                Verdict::Return(outcome)
            }
            (Decision::AsClassified, Outcome::Failure(failure)) => Verdict::Retry(failure),
            (Decision::AsClassified, Outcome::Ignored) => refusal(result),
            (Decision::Retry, Outcome::Failure(failure @ Failure::Throttled { .. })) => {
                Verdict::Retry(failure)
            }
            (Decision::Retry, _) => Verdict::Retry(Failure::Transient),
        }
    }

    /// As [`judge`](Self::judge), after an attempt that no other can follow.
    #[inline]
    pub(super) fn judge_last<Res, Err>(&self, result: Result<&Res, &Err>) -> Verdict
    where
        C: Classify<Res, Err>,
    {
        match self.classifier.classify(result) {
            Outcome::Failure(Failure::Transient | Failure::Throttled { .. }) => Verdict::GiveUp,
            outcome => Verdict::Return(outcome),
        }
    }

    /// As [`judge`](Self::judge), after an attempt that was given up: that is a transient failure, whatever
    /// the classifier makes of the error.
    pub(super) fn judge_elapsed<Req, Res, Err>(&self, request: &Req, error: &Err) -> Verdict
    where
        P: Predicate<Req, Res, Err>,
    {
        match self.predicate.decide(request, Err(error)) {
            Decision::Stop => Verdict::Return(Outcome::Failure(Failure::Transient)),
            Decision::AsClassified | Decision::Retry => Verdict::Retry(Failure::Transient),
        }
    }
}

impl Verdict {
    /// Whether an attempt that has come to this by `result` has reached the service: it has not when a
    /// pattern inside has refused it.
    pub(super) fn has_reached<Res, Err: 'static>(self, result: &Result<Res, Err>) -> bool {
        match (self, result) {
            (_, Ok(_)) => true,
            (Self::Wait(_) | Self::Return(Outcome::Ignored), Err(_)) => false,
            (_, Err(error)) => matches!(rejected(error), None | Some(Rejected::Elapsed { .. })),
        }
    }
}

/// Of all refusals only that of an open breaker is worth a wait: it says until when.
#[cold]
fn refusal<Res, Err: 'static>(result: Result<&Res, &Err>) -> Verdict {
    match result.err().and_then(rejected) {
        Some(Rejected::CircuitOpen {
            retry_after: Some(wait),
            ..
        }) => Verdict::Wait(*wait),
        _ => Verdict::Return(Outcome::Ignored),
    }
}
