use crate::classify::{AnyError, Classify, Failure, Outcome};
use crate::error::rejected;

/// The default classifier of a fallback: as [`AnyError`], but a [`Rejected`](crate::error::Rejected) is
/// a transient failure too.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a value without parts")]
pub struct FailedOrRejected;

impl<Res, Err: 'static> Classify<Res, Err> for FailedOrRejected {
    fn classify(&self, result: Result<&Res, &Err>) -> Outcome {
        match (AnyError.classify(result), result) {
            (Outcome::Ignored, Err(error)) if rejected(error).is_some() => {
                Outcome::Failure(Failure::Transient)
            }
            (outcome, _) => outcome,
        }
    }
}
