//! Fetch (1), versions 4-11, the server's direction only, and only to refuse it.
//!
//! librdkafka writes record batches of magic 2 only if the peer advertises this API.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

/// The request, as far as a refusal needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The partitions asked for, by topic.
    pub topics: Vec<TopicWanted<'a>>,
}

/// The partitions asked for of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicWanted<'a> {
    /// The topic.
    pub name: &'a str,
    /// The partitions.
    pub partitions: Vec<i32>,
}

impl<'a> Request<'a> {
    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let _replica_id = reader.i32()?;
        let _wait_ms_max = reader.i32()?;
        let _bytes_min = reader.i32()?;
        let _bytes_max = reader.i32()?;
        let _isolation_level = reader.i8()?;
        if version >= 7 {
            let _session_id = reader.i32()?;
            let _session_epoch = reader.i32()?;
        }
        let topics = reader.array(6, |reader| {
            Ok(TopicWanted {
                name: reader.string()?,
                partitions: reader.array(16, |reader| decode_partition(version, reader))?,
            })
        })?;
        if version >= 7 {
            let _forgotten_topics = reader.array(6, |reader| {
                reader.string()?;
                reader.array(4, Reader::i32).map(|_| ())
            })?;
        }
        if version >= 11 {
            let _rack = reader.string()?;
        }
        reader.finish()?;
        Ok(Self { topics })
    }

    /// Writes the body of an answer that gives every partition asked for the same error.
    pub fn encode_refusal(&self, version: i16, error: ErrorCode, writer: &mut Writer<'_>) {
        writer.i32(0);
        if version >= 7 {
            writer.i16(ErrorCode::None.number());
            writer.i32(0);
        }
        writer.array(&self.topics, |writer, topic| {
            writer.string(topic.name);
            writer.array(&topic.partitions, |writer, index| {
                writer.i32(*index);
                writer.i16(error.number());
                let (high_watermark, last_stable_offset, log_start_offset) = (-1, -1, -1);
                writer.i64(high_watermark);
                writer.i64(last_stable_offset);
                if version >= 5 {
                    writer.i64(log_start_offset);
                }
                let aborted_transactions = None;
                writer.length(aborted_transactions);
                if version >= 11 {
                    let preferred_read_replica = -1;
                    writer.i32(preferred_read_replica);
                }
                writer.bytes(&[]);
            });
        });
    }
}

fn decode_partition(version: i16, reader: &mut Reader<'_>) -> Result<i32, WireError> {
    let index = reader.i32()?;
    if version >= 9 {
        let _current_leader_epoch = reader.i32()?;
    }
    let _fetch_offset = reader.i64()?;
    if version >= 5 {
        let _log_start_offset = reader.i64()?;
    }
    let _bytes_max = reader.i32()?;
    Ok(index)
}
