//! Metadata (3), versions 0-12: brokers, topics, partitions and their leaders.

use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::Reader;
use crate::proto::kafka::wire::WireError;
use crate::proto::kafka::wire::Writer;

const API: ApiKey = ApiKey::Metadata;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The topics asked for; none asks for all of them, an empty list for no topic.
    pub topics: Option<Vec<&'a str>>,
    /// Whether asking may create a topic. Before version 4 it always may.
    pub allow_auto_topic_creation: bool,
}

impl<'a> Request<'a> {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        match &self.topics {
            Some(topics) => writer.array(topics, |writer, topic| {
                if version >= 10 {
                    writer.raw(&NO_TOPIC_ID);
                }
                writer.string(topic);
                writer.no_tags();
            }),
            None => writer.length(if version == 0 { Some(0) } else { None }),
        }
        if version >= 4 {
            writer.bool(self.allow_auto_topic_creation);
        }
        if (8..=10).contains(&version) {
            writer.bool(false);
        }
        if version >= 8 {
            writer.bool(false);
        }
        writer.no_tags();
    }

    /// Reads the body. In version 0 an empty list asks for all topics.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let mut topics = reader.nullable_array(2, |reader| {
            if version >= 10 {
                reader.take(NO_TOPIC_ID.len())?;
            }
            let topic = reader.string()?;
            reader.skip_tags()?;
            Ok(topic)
        })?;
        if version == 0 {
            topics = topics.filter(|topics| !topics.is_empty());
        }
        let allow_auto_topic_creation = if version >= 4 { reader.bool()? } else { true };
        if (8..=10).contains(&version) {
            reader.bool()?;
        }
        if version >= 8 {
            reader.bool()?;
        }
        reader.skip_tags()?;
        reader.finish()?;
        Ok(Self { topics, allow_auto_topic_creation })
    }
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker<'a> {
    /// The id that partitions name as their leader.
    pub node_id: i32,
    /// Host name or address.
    pub host: &'a str,
    /// Port; out of a stranger's mouth, so it may be no port at all.
    pub port: i32,
    /// Rack (version 1).
    pub rack: Option<&'a str>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The partition's error; 5 and 72 go with leader -1.
    pub error: ErrorCode,
    /// Number of the partition.
    pub index: i32,
    /// Broker that leads it; -1 for none.
    pub leader_id: i32,
    /// Epoch of that leader (version 7); -1 for unknown.
    pub leader_epoch: i32,
    /// All replicas.
    pub replicas: Vec<i32>,
    /// Replicas in sync.
    pub in_sync_replicas: Vec<i32>,
    /// Replicas that are offline (version 5).
    pub offline_replicas: Vec<i32>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    /// The topic's error.
    pub error: ErrorCode,
    /// Its name.
    pub name: &'a str,
    /// Whether it is Kafka's own (version 1).
    pub is_internal: bool,
    /// Its partitions, in any order.
    pub partitions: Vec<Partition>,
}

/// The response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// How long the client must send nothing, in ms (version 3).
    pub throttle_ms: i32,
    /// The brokers.
    pub brokers: Vec<Broker<'a>>,
    /// Name of the cluster (version 2).
    pub cluster_id: Option<&'a str>,
    /// Broker that is the controller (version 1); -1 for unknown.
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<Topic<'a>>,
}

impl<'a> Response<'a> {
    /// Writes the body.
    pub fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.set_flexible(API.is_flexible(version));
        if version >= 3 {
            writer.i32(self.throttle_ms);
        }
        writer.array(&self.brokers, |writer, broker| broker.encode(version, writer));
        if version >= 2 {
            writer.nullable_string(self.cluster_id);
        }
        if version >= 1 {
            writer.i32(self.controller_id);
        }
        writer.array(&self.topics, |writer, topic| topic.encode(version, writer));
        if (8..=10).contains(&version) {
            writer.i32(OPERATIONS_NOT_ASKED_FOR);
        }
        writer.no_tags();
    }

    /// Reads the body.
    pub fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        reader.set_flexible(API.is_flexible(version));
        let response = Self {
            throttle_ms: if version >= 3 { reader.i32()? } else { 0 },
            brokers: reader.array(10, |reader| Broker::decode(version, reader))?,
            cluster_id: if version >= 2 { reader.nullable_string()? } else { None },
            controller_id: if version >= 1 { reader.i32()? } else { -1 },
            topics: reader.array(8, |reader| Topic::decode(version, reader))?,
        };
        if (8..=10).contains(&version) {
            reader.i32()?;
        }
        reader.skip_tags()?;
        // Bytes behind it are ignored, as Java does: librdkafka's mock cluster sends one too many.
        Ok(response)
    }
}

impl<'a> Broker<'a> {
    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i32(self.node_id);
        writer.string(self.host);
        writer.i32(self.port);
        if version >= 1 {
            writer.nullable_string(self.rack);
        }
        writer.no_tags();
    }

    fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let broker = Self {
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: if version >= 1 { reader.nullable_string()? } else { None },
        };
        reader.skip_tags()?;
        Ok(broker)
    }
}

impl<'a> Topic<'a> {
    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i16(self.error.number());
        writer.string(self.name);
        if version >= 10 {
            writer.raw(&NO_TOPIC_ID);
        }
        if version >= 1 {
            writer.bool(self.is_internal);
        }
        writer.array(&self.partitions, |writer, partition| partition.encode(version, writer));
        if version >= 8 {
            writer.i32(OPERATIONS_NOT_ASKED_FOR);
        }
        writer.no_tags();
    }

    fn decode(version: i16, reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let error = reader.i16()?.into();
        let name = reader.string()?;
        if version >= 10 {
            reader.take(NO_TOPIC_ID.len())?;
        }
        let is_internal = if version >= 1 { reader.bool()? } else { false };
        let partitions = reader.array(18, |reader| Partition::decode(version, reader))?;
        if version >= 8 {
            reader.i32()?;
        }
        reader.skip_tags()?;
        Ok(Self { error, name, is_internal, partitions })
    }
}

impl Partition {
    fn encode(&self, version: i16, writer: &mut Writer<'_>) {
        writer.i16(self.error.number());
        writer.i32(self.index);
        writer.i32(self.leader_id);
        if version >= 7 {
            writer.i32(self.leader_epoch);
        }
        writer.array(&self.replicas, |writer, node| writer.i32(*node));
        writer.array(&self.in_sync_replicas, |writer, node| writer.i32(*node));
        if version >= 5 {
            writer.array(&self.offline_replicas, |writer, node| writer.i32(*node));
        }
        writer.no_tags();
    }

    fn decode(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let partition = Self {
            error: reader.i16()?.into(),
            index: reader.i32()?,
            leader_id: reader.i32()?,
            leader_epoch: if version >= 7 { reader.i32()? } else { -1 },
            replicas: reader.array(4, Reader::i32)?,
            in_sync_replicas: reader.array(4, Reader::i32)?,
            offline_replicas: if version >= 5 { reader.array(4, Reader::i32)? } else { Vec::new() },
        };
        reader.skip_tags()?;
        Ok(partition)
    }
}

/// From version 10 on a topic may be named by its id; we always name it by its name.
const NO_TOPIC_ID: [u8; 16] = [0; 16];

/// Kafka's value for "the permitted operations were not asked for" (versions 8 and up).
const OPERATIONS_NOT_ASKED_FOR: i32 = i32::MIN;
