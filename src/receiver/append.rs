//! From a Produce request to the store and its outcomes: each batch is judged, placed and counted.
//!
//! Knows neither connections nor when answers leave. Invariant: what is refused was not written.

use crate::ids::Moment;
use crate::inspect::layout;
use crate::proto::kafka::broker::Append;
use crate::proto::kafka::broker::PartitionReply;
use crate::proto::kafka::errors::ErrorCode;
use crate::receiver::judge::Judge;
use crate::receiver::replies::ProduceReply;
use crate::receiver::replies::TopicReply;
use crate::receiver::stats;
use crate::receiver::stats::Counters;
use crate::receiver::stats::Refusal;
use crate::receiver::store::AppendError;
use crate::receiver::store::Placed;
use crate::receiver::store::Store;

/// What is needed to carry out a request.
pub(crate) struct Appender<'a> {
    pub store: &'a mut Store,
    pub counters: &'a Counters,
    pub judge: &'a mut Judge,
    pub now: Moment,
}

impl Appender<'_> {
    /// Appends every batch of the request that can be.
    pub fn append(&mut self, request: &Append<'_>) -> ProduceReply {
        let topics = request.topics.iter().map(|topic| {
            let outcomes: Vec<_> = topic
                .partitions
                .iter()
                .map(|partition| {
                    if !request.acks_valid {
                        return Err(ErrorCode::InvalidRequiredAcks);
                    }
                    self.append_one(topic.name, partition.index, partition.records)
                })
                .collect();
            TopicReply {
                name: topic.name.to_owned(),
                partitions: topic
                    .partitions
                    .iter()
                    .zip(&outcomes)
                    .map(|(partition, outcome)| PartitionReply {
                        index: partition.index,
                        outcome: outcome.map(|placed| placed.base_offset),
                    })
                    .collect(),
                placed: outcomes.iter().map(|outcome| outcome.ok()).collect(),
            }
        });
        ProduceReply { reply_to: request.reply_to, topics: topics.collect() }
    }

    fn append_one(
        &mut self,
        topic: &str,
        partition: i32,
        records: Option<&[u8]>,
    ) -> Result<Placed, ErrorCode> {
        let placed = self.place(topic, partition, records);
        placed.map_err(|refusal| {
            self.counters.refuse(refusal);
            error_code(refusal)
        })
    }

    fn place(
        &mut self,
        topic: &str,
        partition: i32,
        records: Option<&[u8]>,
    ) -> Result<Placed, Refusal> {
        if !layout::check_topic(topic) {
            return Err(Refusal::InvalidTopic);
        }
        if partition != 0 {
            return Err(Refusal::UnknownPartition);
        }
        let bytes = records.unwrap_or_default();
        let batch = self.judge.judge(bytes)?;
        let placed = match self.store.append(topic, &batch, self.now) {
            Ok(placed) => placed,
            Err(AppendError::TooManyTopics) => return Err(Refusal::TooManyTopics),
            Err(AppendError::Storage(_)) => {
                stats::add(&self.counters.storage_errors, 1);
                return Err(Refusal::Storage);
            }
        };
        if placed.repeat {
            stats::add(&self.counters.duplicates, 1);
        } else {
            stats::add(&self.counters.batches, 1);
            stats::add(&self.counters.records, batch.record_count.into());
            stats::add(&self.counters.bytes, bytes.len() as u64);
        }
        Ok(placed)
    }
}

/// Whether a request was carried out in full.
pub(crate) fn all_stored(reply: &ProduceReply) -> bool {
    reply.topics.iter().all(|topic| topic.placed.iter().all(Option::is_some))
}

/// What a refused batch's producer is told; for reasons that close connections it is not used.
fn error_code(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::OldFormat => ErrorCode::UnsupportedForMessageFormat,
        Refusal::Corrupt => ErrorCode::CorruptMessage,
        Refusal::InvalidRecord => ErrorCode::InvalidRecord,
        Refusal::TooLarge => ErrorCode::MessageTooLarge,
        Refusal::InvalidTopic => ErrorCode::InvalidTopic,
        Refusal::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        Refusal::TooManyTopics => ErrorCode::PolicyViolation,
        Refusal::Storage => ErrorCode::KafkaStorageError,
        Refusal::Malformed
        | Refusal::FrameTooLarge
        | Refusal::FirstFrameTimeout
        | Refusal::TooSlow
        | Refusal::Idle
        | Refusal::TooManyConnections => ErrorCode::UnknownServerError,
    }
}
