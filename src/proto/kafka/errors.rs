//! Kafka's error codes.
//!
//! Owns the numbers and names. A code that is not in the table keeps its number.

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
