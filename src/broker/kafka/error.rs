//! The one table from librdkafka's errors to ours.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::broker::{PublishError, SendStatus};
use crate::config::ConfigError;
use crate::error::{BoxError, Error, Kind};

/// The name of this back-end in errors.
pub(super) const BACKEND: &str = "kafka";

/// Turns a driver error into ours, for `map_err`.
pub(super) fn error(operation: &'static str) -> impl Fn(KafkaError) -> Error {
    move |source| {
        let failed = Error::new(kind(&source), BACKEND, operation);
        match source {
            // Its text has the value too, which may be a password.
            KafkaError::ClientConfig(_, reason, name, _) => {
                failed.with_detail(format!("{name}: {reason}"))
            }
            source => failed.with_source(source),
        }
    }
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
pub(super) fn interrupted<E>(operation: &'static str) -> impl Fn(E) -> Error
where
    E: Into<BoxError>,
{
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
        | Code::MessageBatchTooLarge
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidTimestamp
        | Code::PolicyViolation
        | Code::InvalidArgument => SendStatus::NotSent,
        _ => SendStatus::Unknown,
    }
}

/// Whether a broker refused a request for what is in it: one of its records, or all of them together.
pub(super) fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        code(error),
        Some(
            Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::MessageBatchTooLarge
                | Code::TopicAuthorizationFailed
                | Code::InvalidRecord
                | Code::InvalidDifferentRecord
                | Code::InvalidTimestamp
                | Code::PolicyViolation
        )
    )
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

/// The kind of an error code; see <https://kafka.apache.org/protocol#protocol_error_codes>. A code
/// that is newer than this table is [`Kind::Other`].
pub(super) const fn code_kind(code: Code) -> Kind {
    match placed(code) {
        Some(kind) => kind,
        None => Kind::Other,
    }
}

/// The table; `None` for a code that is not in it.
#[expect(clippy::too_many_lines, reason = "one table")]
const fn placed(code: Code) -> Option<Kind> {
    Some(match code {
        Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::UnknownTopicId
        | Code::UnknownGroup
        | Code::GroupIdNotFound
        | Code::NoEnt
        | Code::ListenerNotFound
        | Code::ResourceNotFound
        | Code::DelegationTokenNotFound
        | Code::LogDirNotFound => Kind::NotFound,
        Code::TopicAlreadyExists
        | Code::DuplicateResource
        | Code::NonEmptyGroup
        | Code::GroupSubscribedToTopic => Kind::Conflict,
        Code::MessageSizeTooLarge
        | Code::InvalidMessageSize
        | Code::MessageBatchTooLarge
        | Code::OffsetMetadataTooLarge
        | Code::InvalidCommitOffsetSize
        | Code::TelemetryTooLarge
        | Code::GroupMaxSizeReached => Kind::TooLarge,
        Code::InvalidTopic
        | Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InvalidRecord
        | Code::InvalidDifferentRecord
        | Code::InvalidRequest
        | Code::InvalidRequiredAcks
        | Code::InvalidTimestamp
        | Code::InvalidPrincipalType
        | Code::InvalidTransactionTimeout
        | Code::InvalidType
        | Code::PolicyViolation
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor
        | Code::NotConfigured
        | Code::KeySerialization
        | Code::ValueSerialization
        | Code::ExistingSubscription
        | Code::TopicDeletionDisabled => Kind::Invalid,
        Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::UnacceptableCredential
        | Code::PrincipalDeserializationFailure => Kind::Unauthorized,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::MemberIdRequired
        | Code::FencedInstanceId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::TransactionCoordinatorFenced
        | Code::AssignmentLost
        | Code::PollExceeded
        | Code::Outdated => Kind::Fenced,
        Code::RebalanceInProgress
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Conflict
        | Code::ConcurrentTransactions
        | Code::ReassignmentInProgress
        | Code::UnstableOffsetCommit
        | Code::InconsistentVoterSet => Kind::Contention,
        Code::ThrottlingQuotaExceeded | Code::QueueFull => Kind::Throttled,
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue => Kind::Timeout,
        Code::BrokerDestroy
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::Interrupted => Kind::Closed,
        Code::BrokerTransportFailure
        // One that has left the cluster; there are others.
        | Code::DestroyBroker
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::NodeUpdate
        | Code::UnknownBroker
        | Code::ISRInsufficient
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
        | Code::EligibleLeadersNotAvailable
        | Code::OffsetNotAvailable
        | Code::UnknownLeaderEpoch
        | Code::FencedLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::StaleControllerEpoch
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::RebootstrapRequired
        | Code::Retry
        | Code::WaitCache => Kind::Unavailable,
        Code::BadMessage
        | Code::InvalidMessage
        | Code::BadCompression
        | Code::UnsupportedCompressionType
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::LogTruncation
        | Code::Underflow => Kind::Corrupt,
        Code::Fail
        | Code::CriticalSystemResource
        | Code::FileSystem
        | Code::PartitionEOF
        | Code::AssignPartitions
        | Code::RevokePartitions
        | Code::State
        | Code::UnknownProtocol
        | Code::UnknownProducerId
        | Code::UnknownSubscriptionId
        | Code::NotImplemented
        | Code::NoOffset
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion
        | Code::UnsupportedForMessageFormat
        | Code::Partial
        | Code::ReadOnly
        | Code::Fatal
        | Code::Inconsistent
        | Code::GaplessGuarantee
        | Code::Application
        | Code::Noop
        | Code::AutoOffsetReset
        | Code::Unknown
        | Code::NoError
        | Code::OffsetOutOfRange
        | Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidTransactionalState
        | Code::InvalidProducerIdMapping
        | Code::OperationNotAttempted
        | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress
        | Code::InvalidUpdateVersion
        | Code::FeatureUpdateFailed => Kind::Other,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;

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
            (Code::DestroyBroker, Kind::Unavailable),
            (Code::BrokerDestroy, Kind::Closed),
            (Code::UnsupportedVersion, Kind::Other),
        ] {
            assert_eq!(
                error("test")(KafkaError::MessageConsumption(code)).kind(),
                kind
            );
        }
    }

    #[test]
    fn a_property_that_cannot_be_set_is_named_without_its_value() {
        let mut client = rdkafka::ClientConfig::new();
        client.set("sasl.pasword", "hunter2");
        let refused = client.create_native_config().map(drop);
        let refused = refused.expect_err("misspelt");
        let text = format!("{:?}", error("configure")(refused));
        assert!(text.contains("sasl.pasword"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn every_code_of_the_driver_is_placed() {
        // Not errors: they mark where ranges of codes begin and end.
        let markers = [Code::Begin, Code::End, Code::EndAll];
        let codes = (-300..300).filter_map(|code| RDKafkaRespErr::try_from(code).ok());
        let codes: Vec<Code> = codes.map(Code::from).collect();
        assert!(codes.len() > 100, "{}", codes.len());
        for code in codes {
            assert!(
                placed(code).is_some() || markers.contains(&code),
                "{code:?}"
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
