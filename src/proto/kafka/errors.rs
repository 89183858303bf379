//! Kafka's error codes, and what each one in a Produce response means for the batch.
//!
//! Owns the numbers, the names and the table of fates and actions; the actions are carried out
//! elsewhere. A code that is not in the table keeps its number. Invariant: only a batch whose fate
//! is "not appended" may ever get another binding (I4), so no action that binds anew goes with any
//! other fate.
//!
//! Sources: Java's `TransactionManager.canRetry` and `Sender`, librdkafka's
//! `rd_kafka_handle_Produce_error`, franz-go's `sink.handleReqRespBatch`.

use std::fmt;

macro_rules! error_codes {
    ($($variant:ident = $number:literal, $name:literal;)+) => {
        /// An error code of the protocol, as far as a producer or our receiver meets it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $name, "` (", $number, ").")] $variant,)+
            /// Any other number.
            Other(i16),
        }

        impl ErrorCode {
            /// Every code that has a name here, in the order of its number.
            pub const NAMED: &'static [ErrorCode] = &[$(ErrorCode::$variant,)+];

            /// The number on the wire.
            pub const fn number(self) -> i16 {
                match self {
                    $(ErrorCode::$variant => $number,)+
                    ErrorCode::Other(number) => number,
                }
            }

            /// Kafka's own name of the code; `UNLISTED` for one that is not in the table.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)+
                    ErrorCode::Other(_) => "UNLISTED",
                }
            }
        }

        impl From<i16> for ErrorCode {
            fn from(number: i16) -> Self {
                match number {
                    $($number => ErrorCode::$variant,)+
                    other => ErrorCode::Other(other),
                }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR";
    None = 0, "NONE";
    CorruptMessage = 2, "CORRUPT_MESSAGE";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE";
    NetworkException = 13, "NETWORK_EXCEPTION";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE";
    NotCoordinator = 16, "NOT_COORDINATOR";
    InvalidTopic = 17, "INVALID_TOPIC_EXCEPTION";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION";
    InvalidRequest = 42, "INVALID_REQUEST";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT";
    PolicyViolation = 44, "POLICY_VIOLATION";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS";
    SecurityDisabled = 54, "SECURITY_DISABLED";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE";
    InvalidRecord = 87, "INVALID_RECORD";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED";
    ProducerFenced = 90, "PRODUCER_FENCED";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.number())
    }
}

/// Whether this attempt appended the batch. An earlier attempt may have, whatever this one says:
/// ask [`may_be_rebound`](crate::proto::kafka::sequence::SequenceSpace::may_be_rebound).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It certainly has not.
    NotAppended,
    /// It may have: send the same bytes again, never bind anew.
    PossiblyAppended,
    /// It has.
    Appended,
}

/// What to do with a batch, or beyond it, after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Delivered: release its space.
    Acknowledge,
    /// Send the same bytes to the same partition again, after a backoff.
    RetrySame {
        /// Ask for metadata first: the leader may be another broker.
        refresh_metadata: bool,
    },
    /// As `RetrySame`; or bind it to another partition or receiver.
    RetryRebindable {
        /// Ask for metadata first: the leader may be another broker.
        refresh_metadata: bool,
    },
    /// Send the same bytes again up to so many times; then quarantine the batch, and bump the
    /// epoch, since its sequences are lost.
    RetryThenQuarantine {
        /// How many times.
        retries_max: u32,
    },
    /// Check our own CRC of the batch: if it is right, as `RetryThenQuarantine` with one retry,
    /// else quarantine at once.
    VerifyChecksum,
    /// Split it in two and remember the lower limit.
    Split,
    /// The batch can never be delivered: set it aside and count it.
    Quarantine,
    /// Write the batch again without the records that the answer names.
    DropRecords,
    /// Write the batch again with the times of the records that the answer names clamped to now.
    ClampTimestamps,
    /// Write the batch again with another codec and remember it for the cluster.
    ReencodeCodec,
    /// The sequence has a gap: drain, bump the epoch, renumber what was not appended.
    BumpEpoch,
    /// The producer id is of no use any more: drain, ask for a new one, renumber.
    NewProducerId,
    /// Go on without idempotence and say so.
    DropIdempotence,
    /// Ask for the broker's versions anew, on a new connection.
    Renegotiate,
    /// Nothing can be written to this topic now: keep its batches, recheck slowly, tell the user.
    StopTopic,
    /// Nothing can be written to this target until its configuration changes: tell the user.
    StopTarget,
}

/// Fate and action of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Whether the broker has the batch.
    pub fate: Fate,
    /// What to do.
    pub action: Action,
}

/// What two of the codes depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether an earlier batch of the same sequence space is unresolved.
    pub earlier_unresolved: bool,
    /// The answer's log start offset; -1 for unknown.
    pub log_start_offset: i64,
}

impl ErrorCode {
    /// What this code in a Produce response means.
    pub const fn verdict(self, circumstances: Circumstances) -> Verdict {
        use Action::*;
        use Fate::*;
        let (fate, action) = match self {
            ErrorCode::None | ErrorCode::DuplicateSequenceNumber => (Appended, Acknowledge),
            ErrorCode::RequestTimedOut | ErrorCode::NotEnoughReplicasAfterAppend => {
                (PossiblyAppended, RetrySame { refresh_metadata: false })
            }
            ErrorCode::NetworkException => (PossiblyAppended, RetrySame { refresh_metadata: true }),
            ErrorCode::ThrottlingQuotaExceeded => {
                (NotAppended, RetrySame { refresh_metadata: false })
            }
            ErrorCode::ListenerNotFound
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::UnknownTopicId => (NotAppended, RetrySame { refresh_metadata: true }),
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::KafkaStorageError => {
                (NotAppended, RetryRebindable { refresh_metadata: true })
            }
            ErrorCode::NotEnoughReplicas => {
                (NotAppended, RetryRebindable { refresh_metadata: false })
            }
            ErrorCode::CorruptMessage => (NotAppended, VerifyChecksum),
            ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => (NotAppended, Split),
            ErrorCode::PolicyViolation => (NotAppended, Quarantine),
            ErrorCode::InvalidRecord => (NotAppended, DropRecords),
            ErrorCode::InvalidTimestamp => (NotAppended, ClampTimestamps),
            ErrorCode::UnsupportedCompressionType => (NotAppended, ReencodeCodec),
            // Behind an unresolved batch it only says that the earlier one is missing.
            ErrorCode::OutOfOrderSequenceNumber if circumstances.earlier_unresolved => {
                (NotAppended, RetrySame { refresh_metadata: false })
            }
            ErrorCode::OutOfOrderSequenceNumber => (NotAppended, BumpEpoch),
            // Without a log start offset the broker cannot tell "forgotten" from "never known".
            ErrorCode::UnknownProducerId if circumstances.log_start_offset == -1 => {
                (NotAppended, RetrySame { refresh_metadata: false })
            }
            ErrorCode::UnknownProducerId => (NotAppended, BumpEpoch),
            ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::ProducerFenced
            | ErrorCode::TransactionAbortable => (NotAppended, NewProducerId),
            ErrorCode::ClusterAuthorizationFailed | ErrorCode::UnsupportedForMessageFormat => {
                (NotAppended, DropIdempotence)
            }
            ErrorCode::UnsupportedVersion => (NotAppended, Renegotiate),
            ErrorCode::InvalidTopic | ErrorCode::TopicAuthorizationFailed => {
                (NotAppended, StopTopic)
            }
            ErrorCode::InvalidRequiredAcks
            | ErrorCode::IllegalSaslState
            | ErrorCode::SecurityDisabled => (NotAppended, StopTarget),
            ErrorCode::UnknownServerError
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::UnsupportedSaslMechanism
            | ErrorCode::InvalidRequest
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::SaslAuthenticationFailed
            | ErrorCode::Other(_) => (PossiblyAppended, RetryThenQuarantine { retries_max: 3 }),
        };
        Verdict { fate, action }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::Fate::*;
    use super::*;

    const CALM: Circumstances = Circumstances { earlier_unresolved: false, log_start_offset: 0 };
    const SAME: Action = RetrySame { refresh_metadata: false };
    const SAME_REFRESHED: Action = RetrySame { refresh_metadata: true };
    const ELSEWHERE: Action = RetryRebindable { refresh_metadata: false };
    const ELSEWHERE_REFRESHED: Action = RetryRebindable { refresh_metadata: true };
    const THRICE: Action = RetryThenQuarantine { retries_max: 3 };

    /// Row by row what the sources above do; the numbers are the protocol's.
    const TABLE: &[(i16, Fate, Action)] = &[
        (0, Appended, Acknowledge),
        (-1, PossiblyAppended, THRICE),
        (2, NotAppended, VerifyChecksum),
        (3, NotAppended, ELSEWHERE_REFRESHED),
        (5, NotAppended, ELSEWHERE_REFRESHED),
        (6, NotAppended, ELSEWHERE_REFRESHED),
        (7, PossiblyAppended, SAME),
        (10, NotAppended, Split),
        (13, PossiblyAppended, SAME_REFRESHED),
        (17, NotAppended, StopTopic),
        (18, NotAppended, Split),
        (19, NotAppended, ELSEWHERE),
        (20, PossiblyAppended, SAME),
        (21, NotAppended, StopTarget),
        (29, NotAppended, StopTopic),
        (31, NotAppended, DropIdempotence),
        (32, NotAppended, ClampTimestamps),
        (34, NotAppended, StopTarget),
        (35, NotAppended, Renegotiate),
        (43, NotAppended, DropIdempotence),
        (44, NotAppended, Quarantine),
        (45, NotAppended, BumpEpoch),
        (46, Appended, Acknowledge),
        (47, NotAppended, NewProducerId),
        (49, NotAppended, NewProducerId),
        (54, NotAppended, StopTarget),
        (56, NotAppended, ELSEWHERE_REFRESHED),
        (59, NotAppended, BumpEpoch),
        (72, NotAppended, SAME_REFRESHED),
        (74, NotAppended, SAME_REFRESHED),
        (75, NotAppended, SAME_REFRESHED),
        (76, NotAppended, ReencodeCodec),
        (87, NotAppended, DropRecords),
        (89, NotAppended, SAME),
        (90, NotAppended, NewProducerId),
        (100, NotAppended, SAME_REFRESHED),
        (120, NotAppended, NewProducerId),
        // Codes that no Produce response should have, and one that nobody knows.
        (14, PossiblyAppended, THRICE),
        (15, PossiblyAppended, THRICE),
        (16, PossiblyAppended, THRICE),
        (33, PossiblyAppended, THRICE),
        (42, PossiblyAppended, THRICE),
        (51, PossiblyAppended, THRICE),
        (58, PossiblyAppended, THRICE),
        (999, PossiblyAppended, THRICE),
    ];

    #[test]
    fn every_row_of_the_table_holds() {
        for (number, fate, action) in TABLE {
            let code = ErrorCode::from(*number);
            assert_eq!(code.verdict(CALM), Verdict { fate: *fate, action: *action }, "{code}");
        }
    }

    #[test]
    fn the_table_has_every_named_code_and_numbers_map_back() {
        for code in ErrorCode::NAMED {
            assert!(TABLE.iter().any(|(number, ..)| *number == code.number()), "{code}");
            assert_eq!(ErrorCode::from(code.number()), *code);
        }
        assert_eq!(TABLE.len(), ErrorCode::NAMED.len() + 1);
        assert_eq!(ErrorCode::from(999), ErrorCode::Other(999));
    }

    #[test]
    fn a_gap_behind_an_unresolved_batch_is_only_a_retry() {
        let behind = Circumstances { earlier_unresolved: true, ..CALM };
        assert_eq!(ErrorCode::OutOfOrderSequenceNumber.verdict(behind).action, SAME);
    }

    #[test]
    fn an_unknown_producer_without_a_log_start_is_only_a_retry() {
        let unknown = Circumstances { log_start_offset: -1, ..CALM };
        assert_eq!(ErrorCode::UnknownProducerId.verdict(unknown).action, SAME);
    }

    #[test]
    fn only_a_batch_that_was_not_appended_is_bound_anew() {
        for code in ErrorCode::NAMED {
            let Verdict { fate, action } = code.verdict(CALM);
            let same_binding =
                matches!(action, Acknowledge | RetrySame { .. } | RetryThenQuarantine { .. });
            assert!(same_binding || fate == NotAppended, "{code}");
        }
    }
}
