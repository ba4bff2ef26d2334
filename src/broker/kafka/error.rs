//! The one table from librdkafka's errors to ours.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::broker::{PublishError, SendStatus};
use crate::config::ConfigError;
use crate::error::{Error, Kind};

/// The name of this back-end in errors.
pub(super) const BACKEND: &str = "kafka";

/// Turns a driver error into ours, for `map_err`.
pub(super) fn error(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| Error::new(kind(&source), BACKEND, operation).with_source(source)
}

/// As [`error`], for questions that change nothing or may be asked again: a broker that does not
/// answer them cannot be reached.
pub(super) fn unanswered(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| match error(operation)(source) {
        failed if failed.kind() == Kind::Timeout => {
            Error::new(Kind::Unavailable, BACKEND, operation).with_source(failed)
        }
        failed => failed,
    }
}

/// A configuration that cannot be used.
pub(super) fn config(error: ConfigError) -> Error {
    Error::new(Kind::Invalid, BACKEND, "configure").with_source(error)
}

/// A blocking call that did not come to its end.
pub(super) fn interrupted(operation: &'static str) -> impl Fn(tokio::task::JoinError) -> Error {
    move |source| Error::new(Kind::Other, BACKEND, operation).with_source(source)
}

/// A record that was not acknowledged.
pub(super) fn publish(source: KafkaError) -> PublishError {
    let status = match code(&source) {
        Some(code) => status(code),
        None => SendStatus::Unknown,
    };
    let error = error("publish")(source);
    match status {
        SendStatus::NotSent => PublishError::not_sent(error),
        SendStatus::Unknown => PublishError::unknown(error),
    }
}

/// Whether a record that failed with `code` may be in the topic: only what is refused before it is
/// written certainly is not.
const fn status(code: Code) -> SendStatus {
    match code {
        Code::QueueFull
        | Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidRecord
        | Code::PolicyViolation
        | Code::InvalidArgument => SendStatus::NotSent,
        _ => SendStatus::Unknown,
    }
}

fn kind(error: &KafkaError) -> Kind {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::Nul(_) => Kind::Invalid,
        _ => code(error).map_or(Kind::Other, code_kind),
    }
}

fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    }
}

/// The kind of an error code; see <https://kafka.apache.org/protocol#protocol_error_codes>.
pub(super) const fn code_kind(code: Code) -> Kind {
    match code {
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::GroupIdNotFound => Kind::NotFound,
        Code::TopicAlreadyExists => Kind::Conflict,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Kind::TooLarge,
        Code::InvalidTopic
        | Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InvalidRecord
        | Code::PolicyViolation => Kind::Invalid,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Kind::Unauthorized,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::FencedInstanceId
        | Code::Fenced
        | Code::AssignmentLost
        | Code::InvalidProducerEpoch
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch => Kind::Fenced,
        Code::RebalanceInProgress | Code::InProgress | Code::Conflict => Kind::Contention,
        Code::ThrottlingQuotaExceeded | Code::QueueFull => Kind::Throttled,
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue => Kind::Timeout,
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::NodeUpdate
        | Code::WaitingForCoordinator
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress
        | Code::NotCoordinator
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::NotController
        | Code::KafkaStorageError
        | Code::PreferredLeaderNotAvailable
        | Code::Retry
        | Code::WaitCache => Kind::Unavailable,
        Code::BadMessage | Code::InvalidMessage | Code::BadCompression => Kind::Corrupt,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_kinds() {
        for (code, kind) in [
            (Code::UnknownTopicOrPartition, Kind::NotFound),
            (Code::MessageSizeTooLarge, Kind::TooLarge),
            (Code::SaslAuthenticationFailed, Kind::Unauthorized),
            (Code::IllegalGeneration, Kind::Fenced),
            (Code::RebalanceInProgress, Kind::Contention),
            (Code::MessageTimedOut, Kind::Timeout),
            (Code::AllBrokersDown, Kind::Unavailable),
            (Code::UnsupportedVersion, Kind::Other),
        ] {
            assert_eq!(
                error("test")(KafkaError::MessageConsumption(code)).kind(),
                kind
            );
        }
    }

    #[test]
    fn only_what_was_refused_before_writing_is_not_sent() {
        let status = |code| publish(KafkaError::MessageProduction(code)).status();
        assert_eq!(status(Code::MessageSizeTooLarge), SendStatus::NotSent);
        assert_eq!(status(Code::MessageTimedOut), SendStatus::Unknown);
        assert_eq!(
            status(Code::NotEnoughReplicasAfterAppend),
            SendStatus::Unknown
        );
    }
}
