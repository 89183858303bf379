//! A receiver's side of a connection: it answers as the only broker of a cluster in which every
//! topic exists with one partition.
//!
//! Answers all requests itself but Produce, which it hands out, since only the receiver can store.
//! Knows no sockets, files or clocks; what is random is an argument. Invariants: the answer to a
//! request is at most [`ENTRIES_MAX`] entries, however many fit into its frame; an answer is
//! written whole or not at all.

use std::sync::Arc;

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::sasl;
use crate::proto::kafka::sasl::Users;
use crate::proto::kafka::server;
use crate::proto::kafka::server::Request;
use crate::proto::kafka::server::RequestError;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::RequestHeader;
use crate::proto::kafka::wire::Writer;
use crate::proto::kafka::wire::fetch;
use crate::proto::kafka::wire::find_coordinator;
use crate::proto::kafka::wire::header;
use crate::proto::kafka::wire::init_producer_id;
use crate::proto::kafka::wire::metadata;
use crate::proto::kafka::wire::produce;
use crate::proto::kafka::wire::sasl_authenticate;
use crate::proto::kafka::wire::sasl_handshake;

/// Most topics, or partitions, that one request may name: an answer is up to 20 times as long as
/// the question, so this is what bounds it.
pub const ENTRIES_MAX: usize = 4096;

/// The node id under which the receiver presents itself.
const NODE_ID: i32 = 1;

/// Why a frame cannot be answered; the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// Not a request that is advertised.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It names more topics or partitions than [`ENTRIES_MAX`].
    #[error("a request names {0} topics or partitions; the limit is {ENTRIES_MAX}")]
    TooManyEntries(usize),
    /// SASL where nobody asks for it, or in the wrong order.
    #[error("a request of SASL came where none is expected")]
    UnexpectedSasl,
    /// The client wants something before it has said who it is.
    #[error("a request came before the client was authenticated")]
    Unauthenticated,
    /// The answer is longer than the protocol can express.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled<'a> {
    /// The answer was written.
    Answered,
    /// The answer was written: the client is not who it says. Once it is sent the connection is to be closed.
    Rejected,
    /// Batches are to be appended; answer with [`encode_produce_response`].
    Append(Append<'a>),
}

/// A request to append batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append<'a> {
    /// What the answer must echo.
    pub reply_to: ReplyTo,
    /// Whether the client waits for an answer (acks is not 0).
    pub answered: bool,
    /// Whether `acks` is a value that exists (-1, 0, 1); if not, answer error 21.
    pub acks_valid: bool,
    /// The batches by topic, borrowed from the frame and not checked.
    pub topics: Vec<produce::TopicData<'a>>,
}

/// What the answer to a Produce request must echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    correlation_id: i32,
    version: i16,
}

/// What became of one partition's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionReply {
    /// The partition, as it was asked for.
    pub index: i32,
    /// The offset of the first record, or why it was not stored.
    pub outcome: Result<u64, ErrorCode>,
}

/// The broker as one client sees it.
#[derive(Clone, Debug)]
pub struct Broker {
    host: String,
    port: u16,
    check_topic: fn(&str) -> bool,
    gate: Gate,
}

/// How far a client has come in saying who it is.
#[derive(Clone, Debug)]
enum Gate {
    Open,
    Shut(Arc<Users>),
    /// PLAIN was agreed upon.
    Challenged(Arc<Users>),
    /// The client has proved who it is.
    Passed(Arc<Users>),
}

impl Broker {
    /// A broker that tells clients to use `host` and `port`, and which topic names are legal.
    pub fn new(host: String, port: u16, check_topic: fn(&str) -> bool) -> Self {
        Self { host, port, check_topic, gate: Gate::Open }
    }

    /// The same, for clients that have to authenticate as one of `users` by SASL PLAIN first.
    pub fn guarded(self, users: Arc<Users>) -> Self {
        Self { gate: Gate::Shut(users), ..self }
    }

    /// Whether the client may write.
    pub fn is_passed(&self) -> bool {
        matches!(self.gate, Gate::Open | Gate::Passed(_))
    }

    /// Handles one frame, without its size. The answer, if it is due at once, is appended to `out`.
    /// `producer_id` gives a fresh id of 63 random bits.
    ///
    /// # Errors
    /// When the connection must be closed. Nothing was appended to `out` then.
    pub fn handle<'a>(
        &mut self,
        frame: &'a [u8],
        producer_id: impl FnOnce() -> i64,
        out: &mut Vec<u8>,
    ) -> Result<Handled<'a>, BrokerError> {
        let (header, request) = Request::decode(frame)?;
        let version = header.api_version;
        let answer = |api, out, body: &mut dyn FnMut(&mut Writer<'_>)| {
            encode_response(api, &header, out, body)
        };
        match request {
            Request::SaslHandshake(request) => {
                let response = self.agree(version, &request)?;
                answer(ApiKey::SaslHandshake, out, &mut |writer| response.encode(writer))?;
            }
            Request::SaslAuthenticate(request) => {
                let is_welcome = self.authenticate(&request)?;
                let response = verdict(is_welcome);
                answer(ApiKey::SaslAuthenticate, out, &mut |writer| {
                    response.encode(version, writer);
                })?;
                return Ok(if is_welcome { Handled::Answered } else { Handled::Rejected });
            }
            Request::ApiVersions => {
                let response = server::api_versions_response(!matches!(self.gate, Gate::Open));
                answer(ApiKey::ApiVersions, out, &mut |writer| response.encode(version, writer))?;
            }
            Request::ApiVersionsUnsupported => {
                let response = server::api_versions_unsupported();
                answer(ApiKey::ApiVersions, out, &mut |writer| response.encode(version, writer))?;
            }
            _ if !self.is_passed() => return Err(BrokerError::Unauthenticated),
            Request::Metadata(request) => {
                check_entries(request.topics.as_ref().map_or(0, Vec::len))?;
                let response = self.metadata(&request);
                answer(ApiKey::Metadata, out, &mut |writer| response.encode(version, writer))?;
            }
            Request::InitProducerId(request) => {
                let response = init_producer_id(&request, producer_id);
                answer(ApiKey::InitProducerId, out, &mut |writer| {
                    response.encode(version, writer);
                })?;
            }
            Request::FindCoordinator(_) => {
                answer(ApiKey::FindCoordinator, out, &mut |writer| {
                    let error = ErrorCode::CoordinatorNotAvailable;
                    find_coordinator::encode_refusal(version, error, writer);
                })?;
            }
            Request::Fetch(request) => {
                check_entries(fetch_entries(&request))?;
                answer(ApiKey::Fetch, out, &mut |writer| {
                    let error = ErrorCode::TopicAuthorizationFailed;
                    request.encode_refusal(version, error, writer);
                })?;
            }
            Request::Produce(request) => return append(&header, request).map(Handled::Append),
        }
        Ok(Handled::Answered)
    }

    /// One mechanism is had; with version 0 messages without a header would follow, which are not read.
    fn agree(
        &mut self,
        version: i16,
        request: &sasl_handshake::Request<'_>,
    ) -> Result<sasl_handshake::Response<'static>, BrokerError> {
        let users = match &self.gate {
            Gate::Open => return Err(BrokerError::UnexpectedSasl),
            Gate::Shut(users) | Gate::Challenged(users) | Gate::Passed(users) => users.clone(),
        };
        let is_known = request.mechanism == sasl::PLAIN && version > 0;
        if is_known {
            self.gate = Gate::Challenged(users);
        }
        let error = if is_known { ErrorCode::None } else { UNSUPPORTED_SASL_MECHANISM };
        Ok(sasl_handshake::Response { error, mechanisms: vec![sasl::PLAIN] })
    }

    fn authenticate(
        &mut self,
        request: &sasl_authenticate::Request<'_>,
    ) -> Result<bool, BrokerError> {
        let Gate::Challenged(users) = &self.gate else { return Err(BrokerError::UnexpectedSasl) };
        let users = users.clone();
        let is_welcome = users.check_plain(request.message);
        self.gate = if is_welcome { Gate::Passed(users) } else { Gate::Shut(users) };
        Ok(is_welcome)
    }

    fn metadata<'a>(&'a self, request: &metadata::Request<'a>) -> metadata::Response<'a> {
        let topics = request.topics.iter().flatten().map(|name| self.topic(name)).collect();
        metadata::Response {
            throttle_ms: 0,
            brokers: vec![metadata::Broker {
                node_id: NODE_ID,
                host: &self.host,
                port: self.port.into(),
                rack: None,
            }],
            cluster_id: None,
            controller_id: NODE_ID,
            topics,
        }
    }

    fn topic<'a>(&self, name: &'a str) -> metadata::Topic<'a> {
        let legal = (self.check_topic)(name);
        let partition = metadata::Partition {
            error: ErrorCode::None,
            index: 0,
            leader_id: NODE_ID,
            leader_epoch: 0,
            replicas: vec![NODE_ID],
            in_sync_replicas: vec![NODE_ID],
            offline_replicas: Vec::new(),
        };
        metadata::Topic {
            error: if legal { ErrorCode::None } else { ErrorCode::InvalidTopic },
            name,
            is_internal: false,
            partitions: if legal { vec![partition] } else { Vec::new() },
        }
    }
}

/// Appends the answer to a Produce request to `out`.
///
/// # Errors
/// When it is longer than the protocol can express; nothing was appended then.
pub fn encode_produce_response<'a>(
    reply_to: ReplyTo,
    topics: impl Iterator<Item = (&'a str, &'a [PartitionReply])>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let topics = topics.map(|(name, partitions)| produce::TopicOutcome {
        name,
        partitions: partitions.iter().map(partition_outcome).collect(),
    });
    let response =
        produce::Response { topics: topics.collect(), throttle_ms: 0, node_endpoints: Vec::new() };
    let mut writer = Writer::frame(out);
    let ReplyTo { correlation_id, version } = reply_to;
    header::encode_response_header(&mut writer, ApiKey::Produce, version, correlation_id);
    response.encode(version, &mut writer);
    writer.finish(0)
}

fn partition_outcome<'a>(reply: &PartitionReply) -> produce::PartitionOutcome<'a> {
    match reply.outcome {
        Ok(base_offset) => produce::PartitionOutcome {
            base_offset: i64::try_from(base_offset).unwrap_or(-1),
            log_start_offset: 0,
            ..produce::PartitionOutcome::failed(reply.index, ErrorCode::None)
        },
        Err(error) => produce::PartitionOutcome::failed(reply.index, error),
    }
}

fn append<'a>(
    header: &RequestHeader<'_>,
    request: produce::Request<'a>,
) -> Result<Append<'a>, BrokerError> {
    let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    check_entries(request.topics.len().max(partitions))?;
    Ok(Append {
        reply_to: ReplyTo { correlation_id: header.correlation_id, version: header.api_version },
        answered: request.acks != 0,
        acks_valid: (-1..=1).contains(&request.acks),
        topics: request.topics,
    })
}

fn init_producer_id(
    request: &init_producer_id::Request<'_>,
    producer_id: impl FnOnce() -> i64,
) -> init_producer_id::Response {
    let transactional = request.transactional_id.is_some();
    init_producer_id::Response {
        throttle_ms: 0,
        error: if transactional { NO_TRANSACTIONS } else { ErrorCode::None },
        producer_id: if transactional { -1 } else { producer_id() },
        producer_epoch: if transactional { -1 } else { 0 },
    }
}

const UNSUPPORTED_SASL_MECHANISM: ErrorCode = ErrorCode::Other(33);
const SASL_AUTHENTICATION_FAILED: ErrorCode = ErrorCode::Other(58);

fn verdict(is_welcome: bool) -> sasl_authenticate::Response<'static> {
    let failure = || (SASL_AUTHENTICATION_FAILED, Some("wrong user or password"));
    let (error, error_message) = if is_welcome { (ErrorCode::None, None) } else { failure() };
    sasl_authenticate::Response { error, error_message, message: b"", session_lifetime_ms: 0 }
}

/// TRANSACTIONAL_ID_AUTHORIZATION_FAILED: the one that clients take as final.
const NO_TRANSACTIONS: ErrorCode = ErrorCode::Other(53);

fn fetch_entries(request: &fetch::Request<'_>) -> usize {
    let partitions = request.topics.iter().map(|topic| topic.partitions.len()).sum();
    request.topics.len().max(partitions)
}

fn check_entries(count: usize) -> Result<(), BrokerError> {
    if count > ENTRIES_MAX { Err(BrokerError::TooManyEntries(count)) } else { Ok(()) }
}

fn encode_response(
    api: ApiKey,
    request: &RequestHeader<'_>,
    out: &mut Vec<u8>,
    body: &mut dyn FnMut(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    let mut writer = Writer::frame(out);
    let RequestHeader { api_version, correlation_id, .. } = *request;
    header::encode_response_header(&mut writer, api, api_version, correlation_id);
    body(&mut writer);
    writer.finish(0)
}

#[cfg(test)]
mod tests;
