use super::service::Answers;
use super::{PublishError, SendStatus};
use crate::classify::{AnyError, Classify, Failure, Outcome};
use crate::error::Kind;

/// What the answers to a batch tell about the broker: the classifier of layers around a
/// [`PublishService`](super::PublishService).
///
/// 1. One record that was appended is a success: the broker works. Nothing is tried again then, and who
///    published looks at the others.
/// 2. That a record is not as it should be, its topic is missing, or it was held back because of another
///    one, says nothing about the broker. When there is nothing else, and for an empty batch, the outcome
///    is ignored.
/// 3. All else is a failure, of the kind that the first such error has.
/// 4. A transient failure is a permanent one when any record of the batch may have been sent, so that a
///    retry does not append it twice. [`with_unknown_retried`](Self::with_unknown_retried) leaves it
///    transient.
/// 5. An error of the service itself, as from a layer inside, is judged by [`AnyError`]; one after which
///    the batch may have been sent, as that of a timeout, by 4 too.
#[derive(Debug, Clone, Copy, Default)]
pub struct PublishOutcome {
    retries_unknown: bool,
}

impl PublishOutcome {
    /// Lets be tried again what was certainly not sent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets be tried again also what may have been sent: a record may then be appended twice, and a later
    /// copy stand behind the next record of its key. For consumers that are idempotent and do not mind.
    #[must_use]
    pub fn with_unknown_retried(mut self) -> Self {
        self.retries_unknown = true;
        self
    }

    fn of_failure(self, failure: Failure, is_unknown: bool) -> Outcome {
        Outcome::Failure(match failure {
            Failure::Transient | Failure::Throttled { .. }
                if is_unknown && !self.retries_unknown =>
            {
                Failure::Permanent
            }
            failure => failure,
        })
    }
}

impl Classify<Answers, PublishError> for PublishOutcome {
    fn classify(&self, result: Result<&Answers, &PublishError>) -> Outcome {
        let answers = match result {
            Ok(answers) => answers,
            Err(error) => {
                return match AnyError.classify(Result::<&(), _>::Err(error)) {
                    Outcome::Failure(failure) => self.of_failure(failure, is_unknown(error)),
                    outcome => outcome,
                };
            }
        };
        if answers.iter().any(Result::is_ok) {
            return Outcome::Success;
        }
        let errors = || answers.iter().filter_map(|answer| answer.as_ref().err());
        match errors().find(|error| is_of_broker(error)) {
            Some(first) => self.of_failure(first.error().failure(), errors().any(is_unknown)),
            None => Outcome::Ignored,
        }
    }
}

fn is_unknown(error: &PublishError) -> bool {
    error.status() == SendStatus::Unknown
}

/// Whether it is the broker that fails, and not this record or its topic.
fn is_of_broker(error: &PublishError) -> bool {
    let is_of_record = matches!(
        error.error().kind(),
        Kind::Contention | Kind::Corrupt | Kind::Invalid | Kind::NotFound | Kind::TooLarge
    );
    is_unknown(error) || !is_of_record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{Appended, TopicPartition};
    use crate::error::{Error, Rejected};

    fn not_sent(kind: Kind) -> Result<Appended, PublishError> {
        Err(PublishError::not_sent(Error::new(kind, "test", "publish")))
    }

    fn unknown(kind: Kind) -> Result<Appended, PublishError> {
        Err(PublishError::unknown(Error::new(kind, "test", "publish")))
    }

    fn appended() -> Result<Appended, PublishError> {
        Ok(Appended::within(TopicPartition::new("tasks", 0)))
    }

    #[test]
    fn the_table_of_answers() {
        let failed = Outcome::Failure;
        let throttled = Failure::Throttled { retry_after: None };
        for (answers, cautious, told_so) in [
            (vec![], Outcome::Ignored, Outcome::Ignored),
            (
                vec![unknown(Kind::Timeout), appended()],
                Outcome::Success,
                Outcome::Success,
            ),
            (
                vec![not_sent(Kind::TooLarge), Err(PublishError::held("test"))],
                Outcome::Ignored,
                Outcome::Ignored,
            ),
            (
                vec![not_sent(Kind::NotFound), not_sent(Kind::Unavailable)],
                failed(Failure::Transient),
                failed(Failure::Transient),
            ),
            (
                vec![not_sent(Kind::Throttled)],
                failed(throttled),
                failed(throttled),
            ),
            (
                vec![not_sent(Kind::Unavailable), unknown(Kind::Timeout)],
                failed(Failure::Permanent),
                failed(Failure::Transient),
            ),
            (
                vec![not_sent(Kind::Unauthorized)],
                failed(Failure::Permanent),
                failed(Failure::Permanent),
            ),
        ] {
            let outcome = PublishOutcome::new();
            assert_eq!(outcome.classify(Ok(&answers)), cautious, "{answers:?}");
            let outcome = outcome.with_unknown_retried();
            assert_eq!(outcome.classify(Ok(&answers)), told_so, "{answers:?}");
        }
    }

    #[test]
    fn a_refusal_by_a_layer_says_nothing_and_a_timeout_that_nobody_knows() {
        let outcome = PublishOutcome::new();
        let full = PublishError::from(Rejected::bulkhead_full("broker"));
        assert_eq!(outcome.classify(Err(&full)), Outcome::Ignored);
        let limit = std::time::Duration::from_secs(1);
        let elapsed = PublishError::from(Rejected::elapsed(limit));
        let failed = outcome.classify(Err(&elapsed));
        assert_eq!(failed, Outcome::Failure(Failure::Permanent));
        let failed = outcome.with_unknown_retried().classify(Err(&elapsed));
        assert_eq!(failed, Outcome::Failure(Failure::Transient));
    }
}
