//! Why a session ended, and why a command was refused.

use std::time::Duration;

use thiserror::Error;

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::sasl::SaslError;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::frame::FrameError;

/// Why the connection is of no use any more: close it, and treat what is in flight as in doubt.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The bytes cannot be cut into frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A response is not what its request calls for.
    #[error("malformed response to {api:?}: {source}")]
    Malformed {
        /// The request that it answers.
        api: ApiKey,
        /// What is wrong.
        source: WireError,
    },
    /// A response is too short for a correlation id.
    #[error("a response without a correlation id")]
    NoCorrelationId,
    /// A response to nothing, or not in the order of the requests.
    #[error("response {received} came where {} was due", Due(*expected))]
    UnexpectedResponse {
        /// The correlation id that came.
        received: i32,
        /// The one that was due; none if no request waits for a response.
        expected: Option<i32>,
    },
    /// A response is well-formed and cannot be true.
    #[error("impossible response to {api:?}: {reason}")]
    ImpossibleAnswer {
        /// The request that it answers.
        api: ApiKey,
        /// What cannot be.
        reason: &'static str,
    },
    /// A response did not come in time.
    #[error("no response to {api:?} within {timeout:?}")]
    RequestTimedOut {
        /// The request.
        api: ApiKey,
        /// The time that it had.
        timeout: Duration,
    },
    /// The broker does not speak a request that a producer needs, or in no version of ours.
    #[error("the broker does not support {api:?} in a version that logdrive speaks")]
    NotSupported {
        /// The request.
        api: ApiKey,
    },
    /// The broker does not have the mechanism that we authenticate with.
    #[error("the broker does not take this sasl.mechanism; it takes: {offered}")]
    MechanismRefused {
        /// Those that it has, in its own words.
        offered: String,
    },
    /// The broker does not believe that we are who we say.
    #[error("the broker refused the authentication: {words}")]
    AuthenticationFailed {
        /// Why, in its own words.
        words: String,
    },
    /// The mechanism's own messages went wrong.
    #[error(transparent)]
    Sasl(#[from] SaslError),
    /// A request of ours cannot be expressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The broker refused to tell which requests it speaks.
    #[error("the broker refused ApiVersions: {0}")]
    Refused(ErrorCode),
}

/// Why a command was not carried out; the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// Versions are not negotiated yet: wait for `Event::Ready`.
    #[error("the session is not ready")]
    NotReady,
    /// The session has ended with an error.
    #[error("the session has ended")]
    Ended,
    /// The broker does not offer this request; without InitProducerId there is no idempotence.
    #[error("the broker does not offer {0:?}")]
    NotOffered(ApiKey),
    /// As many requests wait for their response as a session keeps.
    #[error("{0} requests are unanswered, which is the limit")]
    TooManyRequests(usize),
    /// The request cannot be expressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The correlation id that was due, in words.
struct Due(Option<i32>);

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(correlation_id) => write!(f, "{correlation_id}"),
            None => f.write_str("none"),
        }
    }
}
