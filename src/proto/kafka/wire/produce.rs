//! Produce (0), versions 3-12: append record batches.
//!
//! A client sends one batch per request and never copies it: [`RequestHead`] writes everything in
//! front of the batch, [`request_tail`] is what follows it. A server borrows the batches from the
//! frame.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::RequestHeader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

const API: ApiKey = ApiKey::Produce;

/// Everything in front of the one batch of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Echoed by the response.
    pub correlation_id: i32,
    /// Who sends.
    pub client_id: &'a str,
    /// -1: all replicas in sync, 1: the leader, 0: no response at all.
    pub acks: i16,
    /// How long the broker may wait for replicas.
    pub timeout_ms: i32,
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Bytes of the batch: its header of 61 and its body.
    pub batch_bytes: u32,
}

impl RequestHead<'_> {
    /// Appends the frame's size and all of the frame up to the batch.
    pub fn encode(&self, version: i16, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut writer = Writer::frame(out);
        RequestHeader {
            api_key: API.number(),
            api_version: version,
            correlation_id: self.correlation_id,
            client_id: Some(self.client_id),
        }
        .encode(&mut writer);
        writer.nullable_string(None);
        writer.i16(self.acks);
        writer.i32(self.timeout_ms);
        writer.length(Some(1));
        writer.string(self.topic);
        writer.length(Some(1));
        writer.i32(self.partition);
        writer.length(Some(self.batch_bytes as usize));
        writer.finish(u64::from(self.batch_bytes) + request_tail(version).len() as u64)
    }
}

/// What follows the batch: the empty tagged fields of partition, topic and request, or nothing.
pub const fn request_tail(version: i16) -> &'static [u8] {
    if API.is_flexible(version) { &[0, 0, 0] } else { &[] }
}

/// A request as a server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Null for a producer without transactions.
    pub transactional_id: Option<&'a str>,
    /// -1: all replicas in sync, 1: the leader, 0: no response at all.
    pub acks: i16,
    /// How long the broker may wait for replicas.
    pub timeout_ms: i32,
    /// What to append, by topic.
    pub topics: Vec<TopicData<'a>>,
}

/// What to append to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicData<'a> {
    /// The topic, as the client spells it; not checked.
    pub name: &'a str,
    /// What to append, by partition.
    pub partitions: Vec<PartitionData<'a>>,
}

/// What to append to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionData<'a> {
    /// The partition; not checked.
    pub index: i32,
    /// The record batch, borrowed from the frame; not checked.
    pub records: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let request = Self {
            transactional_id: reader.nullable_string()?,
            acks: reader.i16()?,
            timeout_ms: reader.i32()?,
            topics: reader.array(3, |reader| {
                let name = reader.string()?;
                let partitions = reader.array(6, |reader| {
                    let partition =
                        PartitionData { index: reader.i32()?, records: reader.nullable_bytes()? };
                    reader.skip_tags()?;
                    Ok(partition)
                })?;
                reader.skip_tags()?;
                Ok(TopicData { name, partitions })
            })?,
        };
        reader.skip_tags()?;
        reader.finish()?;
        Ok(request)
    }
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The outcomes, by topic.
    pub topics: Vec<TopicOutcome<'a>>,
    /// How long the client must send nothing, in ms.
    pub throttle_ms: i32,
    /// Addresses of the leaders hinted at (version 10).
    pub node_endpoints: Vec<NodeEndpoint<'a>>,
}

/// The outcomes of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOutcome<'a> {
    /// The topic.
    pub name: &'a str,
    /// The outcomes, by partition.
    pub partitions: Vec<PartitionOutcome<'a>>,
}

/// What became of one partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOutcome<'a> {
    /// The partition.
    pub index: i32,
    /// The outcome.
    pub error: ErrorCode,
    /// Offset of the first record; -1 for unknown.
    pub base_offset: i64,
    /// When the broker appended it, if the topic says so; else -1.
    pub log_append_time_ms: i64,
    /// First offset that the log still has (version 5); -1 for unknown.
    pub log_start_offset: i64,
    /// The records that were at fault (version 8).
    pub record_errors: Vec<RecordError<'a>>,
    /// What was at fault (version 8).
    pub error_message: Option<&'a str>,
    /// Who leads the partition now (version 10).
    pub current_leader: Option<LeaderHint>,
}

/// A record at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordError<'a> {
    /// Its place in the batch, from 0.
    pub batch_index: i32,
    /// Why.
    pub message: Option<&'a str>,
}

/// Who leads a partition (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderHint {
    /// The broker.
    pub leader_id: i32,
    /// Its epoch; a hint counts only if it is newer than what is known.
    pub leader_epoch: i32,
}

/// Where a broker is to be found (KIP-951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeEndpoint<'a> {
    /// The broker.
    pub node_id: i32,
    /// Host name or address.
    pub host: &'a str,
    /// Port.
    pub port: i32,
    /// Rack.
    pub rack: Option<&'a str>,
}

impl<'a> Response<'a> {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        writer.array(&self.topics, |writer, topic| {
            writer.string(topic.name);
            writer.array(&topic.partitions, |writer, outcome| outcome.encode(version, writer));
            writer.no_tags();
        });
        writer.i32(self.throttle_ms);
        if version >= 10 && !self.node_endpoints.is_empty() {
            writer.one_tag(NODE_ENDPOINTS_TAG, |writer| {
                writer.array(&self.node_endpoints, NodeEndpoint::encode);
            });
        } else {
            writer.no_tags();
        }
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let mut response = Self {
            topics: reader.array(3, |reader| {
                let name = reader.string()?;
                let partitions =
                    reader.array(22, |reader| PartitionOutcome::decode(version, reader))?;
                reader.skip_tags()?;
                Ok(TopicOutcome { name, partitions })
            })?,
            throttle_ms: reader.i32()?,
            node_endpoints: Vec::new(),
        };
        reader.tags(|tag, value| {
            if version >= 10 && tag == NODE_ENDPOINTS_TAG {
                response.node_endpoints = value.array(11, NodeEndpoint::decode)?;
            }
            Ok(())
        })?;
        reader.finish()?;
        Ok(response)
    }
}

impl<'a> PartitionOutcome<'a> {
    /// An outcome that has nothing to tell but its error.
    pub fn failed(index: i32, error: ErrorCode) -> Self {
        Self {
            index,
            error,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: Vec::new(),
            error_message: None,
            current_leader: None,
        }
    }

    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i32(self.index);
        writer.i16(self.error.number());
        writer.i64(self.base_offset);
        writer.i64(self.log_append_time_ms);
        if version >= 5 {
            writer.i64(self.log_start_offset);
        }
        if version >= 8 {
            writer.array(&self.record_errors, |writer, error| {
                writer.i32(error.batch_index);
                writer.nullable_string(error.message);
                writer.no_tags();
            });
            writer.nullable_string(self.error_message);
        }
        match self.current_leader {
            Some(leader) if version >= 10 => writer.one_tag(CURRENT_LEADER_TAG, |writer| {
                writer.i32(leader.leader_id);
                writer.i32(leader.leader_epoch);
                writer.no_tags();
            }),
            Some(_) | None => writer.no_tags(),
        }
    }

    fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let mut outcome = Self::failed(reader.i32()?, reader.i16()?.into());
        outcome.base_offset = reader.i64()?;
        outcome.log_append_time_ms = reader.i64()?;
        if version >= 5 {
            outcome.log_start_offset = reader.i64()?;
        }
        if version >= 8 {
            outcome.record_errors = reader.array(6, |reader| {
                let error =
                    RecordError { batch_index: reader.i32()?, message: reader.nullable_string()? };
                reader.skip_tags()?;
                Ok(error)
            })?;
            outcome.error_message = reader.nullable_string()?;
        }
        reader.tags(|tag, value| {
            if version >= 10 && tag == CURRENT_LEADER_TAG {
                outcome.current_leader =
                    Some(LeaderHint { leader_id: value.i32()?, leader_epoch: value.i32()? });
            }
            Ok(())
        })?;
        Ok(outcome)
    }
}

impl<'a> NodeEndpoint<'a> {
    fn encode(writer: &mut Writer<'_>, endpoint: &Self) {
        writer.i32(endpoint.node_id);
        writer.string(endpoint.host);
        writer.i32(endpoint.port);
        writer.nullable_string(endpoint.rack);
        writer.no_tags();
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let endpoint = Self {
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(endpoint)
    }
}

/// Tag of the leader hint in a partition's outcome.
const CURRENT_LEADER_TAG: u32 = 0;

/// Tag of the leaders' addresses in a response.
const NODE_ENDPOINTS_TAG: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of the golden vectors: accepted by librdkafka's mock and by Kafka's own classes.
    const HEAD: RequestHead<'static> = RequestHead {
        correlation_id: 7,
        client_id: "sdk",
        acks: -1,
        timeout_ms: 10_000,
        topic: "logs",
        partition: 3,
        batch_bytes: 92,
    };

    const GOLDEN_V8: &[u8] = b"\x00\x00\x00\x87\x00\x00\x00\x08\x00\x00\x00\x07\x00\x03sdk\xff\xff\
        \xff\xff\x00\x00\x27\x10\x00\x00\x00\x01\x00\x04logs\x00\x00\x00\x01\x00\x00\x00\x03\
        \x00\x00\x00\x5c";

    const GOLDEN_V9: &[u8] = b"\x00\x00\x00\x80\x00\x00\x00\x09\x00\x00\x00\x07\x00\x03sdk\x00\x00\
        \xff\xff\x00\x00\x27\x10\x02\x05logs\x02\x00\x00\x00\x03\x5d";

    #[test]
    fn heads_and_tails_match_the_golden_vectors() {
        for (version, golden, tail) in [(8, GOLDEN_V8, &[][..]), (9, GOLDEN_V9, &[0, 0, 0])] {
            let mut out = Vec::new();
            HEAD.encode(version, &mut out).unwrap();
            assert_eq!(out, golden, "version {version}");
            assert_eq!(request_tail(version), tail);
        }
    }

    #[test]
    fn a_server_borrows_the_batch_from_the_frame() {
        for version in 3..=12 {
            let batch = [0x5a; 92];
            let mut frame = Vec::new();
            HEAD.encode(version, &mut frame).unwrap();
            frame.extend_from_slice(&batch);
            frame.extend_from_slice(request_tail(version));
            let (size, body) = frame.split_first_chunk::<4>().unwrap();
            assert_eq!(u32::from_be_bytes(*size) as usize, body.len(), "version {version}");
            let mut reader = Reader::new(body);
            let header = RequestHeader::decode(&mut reader).unwrap();
            assert_eq!((header.api_version, header.correlation_id), (version, 7));
            let request = Request::decode(version, &mut reader).unwrap();
            let records = request.topics[0].partitions[0].records.unwrap();
            assert_eq!(records, batch);
            assert!(body.as_ptr_range().contains(&records.as_ptr()), "borrowed, not copied");
        }
    }
}
