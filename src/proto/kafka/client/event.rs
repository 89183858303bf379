//! What a session reports, owned: no part of it points into a frame.

use std::collections::HashSet;
use std::time::Duration;

use crate::proto::kafka::client::error::SessionError;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::metadata;
use crate::proto::kafka::wire::produce;

/// Something that the driver should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker will not take our authentication for much longer: no more batches are to be
    /// given to this session, and another one is to be opened.
    Expiring,
    /// Heartbeat: the broker answered.
    HeartbeatAnswered,
    /// What the cluster looks like.
    Metadata(ClusterView),
    /// What became of a batch.
    Produced(Produced),
    /// A producer id for idempotence.
    ProducerId {
        /// The id.
        producer_id: i64,
        /// Its first epoch.
        producer_epoch: i16,
    },
    /// No producer id. 31 means no right to one: go on without idempotence. Otherwise ask again
    /// after a backoff.
    ProducerIdFailed(ErrorCode),
    /// Versions are negotiated: commands are accepted from now on.
    Ready,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The batch, as the driver named it.
    pub token: u64,
    /// Its outcome.
    pub outcome: Outcome,
    /// How long the broker wants nothing to be sent; the session sees to it. Zero mostly.
    pub throttle: Duration,
}

/// How a batch's request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The broker answered; [`ErrorCode::verdict`] says what it means.
    Answered(Answer),
    /// Written to a connection on which no answer comes (acks=0).
    Unconfirmed,
}

/// A broker's answer for one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The outcome.
    pub error: ErrorCode,
    /// Offset of the batch's first record; -1 for unknown.
    pub base_offset: i64,
    /// First offset that the partition still has; -1 for unknown.
    pub log_start_offset: i64,
    /// The records at fault, if the broker names them.
    pub record_errors: Vec<RecordFault>,
    /// The broker's own words about the error.
    pub message: Option<String>,
    /// Who leads the partition now, if the broker says so; counts only with a newer epoch.
    pub current_leader: Option<Leader>,
}

/// A record at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Its place in the batch, from 0. Not checked against the batch's count.
    pub index: u32,
    /// The broker's own words.
    pub message: Option<String>,
}

/// A leader that a broker hints at (KIP-951).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its id.
    pub broker_id: i32,
    /// Its epoch.
    pub epoch: i32,
    /// Where it is, if the broker says so.
    pub broker: Option<BrokerView>,
}

/// The brokers and the topics that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterView {
    /// All brokers that are alive.
    pub brokers: Vec<BrokerView>,
    /// The topics.
    pub topics: Vec<TopicView>,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerView {
    /// Its id.
    pub id: i32,
    /// Host name or address, as the broker advertises it; not checked.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// 3 and 5: ask again after a backoff; 17 and 29: permanent until configuration changes.
    pub error: ErrorCode,
    /// Its partitions by rising index.
    pub partitions: Vec<PartitionView>,
}

/// One partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub index: i32,
    /// Broker that leads it; none: it cannot be written now.
    pub leader: Option<i32>,
    /// Epoch of that leader; -1 for unknown.
    pub leader_epoch: i32,
    /// Its error; 9 (replica not available) does not hinder writing.
    pub error: ErrorCode,
}

impl ClusterView {
    /// Checks and copies what a broker said.
    pub(super) fn from_wire(response: &metadata::Response<'_>) -> Result<Self, SessionError> {
        let brokers = response
            .brokers
            .iter()
            .map(|broker| broker_view(broker.node_id, broker.host, broker.port));
        Ok(Self {
            brokers: brokers.collect::<Option<_>>().ok_or(impossible("a port out of range"))?,
            topics: response.topics.iter().map(topic_view).collect::<Result<_, _>>()?,
        })
    }
}

impl Answer {
    /// Checks and copies what a broker said.
    pub(super) fn from_wire(
        outcome: &produce::PartitionOutcome<'_>,
        endpoints: &[produce::NodeEndpoint<'_>],
    ) -> Result<Self, SessionError> {
        let record_errors = outcome.record_errors.iter().map(|fault| {
            let index = u32::try_from(fault.batch_index).ok()?;
            Some(RecordFault { index, message: fault.message.map(str::to_owned) })
        });
        let negative_index = SessionError::ImpossibleAnswer {
            api: ApiKey::Produce,
            reason: "a record of negative index",
        };
        Ok(Self {
            error: outcome.error,
            base_offset: outcome.base_offset,
            log_start_offset: outcome.log_start_offset,
            record_errors: record_errors.collect::<Option<_>>().ok_or(negative_index)?,
            message: outcome.error_message.map(str::to_owned),
            current_leader: outcome.current_leader.map(|hint| Leader {
                broker_id: hint.leader_id,
                epoch: hint.leader_epoch,
                broker: endpoints
                    .iter()
                    .find(|endpoint| endpoint.node_id == hint.leader_id)
                    .and_then(|leader| broker_view(leader.node_id, leader.host, leader.port)),
            }),
        })
    }
}

fn topic_view(topic: &metadata::Topic<'_>) -> Result<TopicView, SessionError> {
    let mut seen = HashSet::new();
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        if partition.index < 0 {
            return Err(impossible("a partition of negative index"));
        }
        if !seen.insert(partition.index) {
            return Err(impossible("a partition twice"));
        }
        partitions.push(PartitionView {
            index: partition.index,
            leader: (partition.leader_id >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            error: partition.error,
        });
    }
    partitions.sort_unstable_by_key(|partition| partition.index);
    Ok(TopicView { name: topic.name.to_owned(), error: topic.error, partitions })
}

fn broker_view(id: i32, host: &str, port: i32) -> Option<BrokerView> {
    Some(BrokerView { id, host: host.to_owned(), port: u16::try_from(port).ok()? })
}

fn impossible(reason: &'static str) -> SessionError {
    SessionError::ImpossibleAnswer { api: ApiKey::Metadata, reason }
}
