//! What a receiver does with one request: the broker's own answers, and batches into the store or on to the next
//! hop.
//!
//! Each batch is judged, placed and counted. Knows neither sockets nor when answers leave.
//! Invariant: what is refused was not written.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::Moment;
use crate::inspect::layout;
use crate::proto::kafka::broker::Append;
use crate::proto::kafka::broker::Broker;
use crate::proto::kafka::broker::BrokerError;
use crate::proto::kafka::broker::Handled;
use crate::proto::kafka::broker::PartitionReply;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::produce::TopicData;
use crate::receiver::forward::Forwarder;
use crate::receiver::judge::Judge;
use crate::receiver::options::Options;
use crate::receiver::options::Sync;
use crate::receiver::producer_ids;
use crate::receiver::replies::ProduceReply;
use crate::receiver::replies::Replies;
use crate::receiver::replies::TopicReply;
use crate::receiver::stats;
use crate::receiver::stats::Counters;
use crate::receiver::stats::Refusal;
use crate::receiver::store::AppendError;
use crate::receiver::store::InDoubt;
use crate::receiver::store::Placed;
use crate::receiver::store::Store;
use crate::receiver::store::StoreError;

/// Why a connection must be closed after a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The client does not wait for answers, so this is the only way to tell it.
    #[error("a batch that is not acknowledged was refused")]
    RefusedWithoutAnswer,
}

/// What becomes of the connection after a request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    GoesOn,
    /// The client is not who it says: it gets its answer, and nothing more.
    TurnedAway,
}

/// Topics whose batches meet a defect, in tests of this crate: when they are judged, and when they are stored.
#[cfg(test)]
pub(crate) const PANICS_JUDGED: &str = "panics-judged";
#[cfg(test)]
pub(crate) const PANICS_STORED: &str = "panics-stored";

/// Where batches end up.
pub(crate) enum Sink {
    /// In files.
    Store(Box<Store>),
    /// At the next hop.
    Forward(Box<Forwarder>),
}

/// The sink with all that stands before it.
pub(crate) struct Service {
    sink: Sink,
    judge: Judge,
    counters: Arc<Counters>,
    /// Whether acknowledgements wait for a sync, or the next hop.
    hold: bool,
    answer: Vec<u8>,
}

impl Service {
    pub fn new(sink: Sink, options: &Options, counters: Arc<Counters>) -> Self {
        let hold = match &sink {
            Sink::Store(_) => options.sync != Sync::None,
            Sink::Forward(forwarder) => forwarder.holds(),
        };
        Self { sink, judge: Judge::new(options), counters, hold, answer: Vec::new() }
    }

    /// Carries out the request in `frame` and adds its answer to `replies`.
    pub fn serve(
        &mut self,
        frame: &[u8],
        broker: &mut Broker,
        replies: &mut Replies,
        now: Moment,
    ) -> Result<Served, ServeError> {
        self.answer.clear();
        match broker.handle(frame, producer_ids::random, &mut self.answer)? {
            Handled::Answered => replies.push_encoded(&self.answer),
            Handled::Rejected => {
                replies.push_encoded(&self.answer);
                self.counters.refuse(Refusal::AuthenticationFailed);
                return Ok(Served::TurnedAway);
            }
            Handled::Append(request) => {
                let reply = self.append(&request, now);
                if request.answered {
                    replies.push(reply, self.hold)?;
                } else if !reply.is_all_stored() {
                    return Err(ServeError::RefusedWithoutAnswer);
                }
            }
        }
        Ok(Served::GoesOn)
    }

    /// Finds out anew what is stored, after a panic; what was appended and not synced is.
    pub fn start_over(&mut self, options: &Options, now: Moment) -> Result<(), StoreError> {
        self.judge = Judge::new(options);
        match &mut self.sink {
            Sink::Store(store) => store.read_again(options, now),
            // A batch is taken in one step; what is in the spool is whole.
            Sink::Forward(_) => Ok(()),
        }
    }

    /// Makes everything that was appended durable; what could not be made so is returned.
    pub fn sync(&mut self) -> Vec<InDoubt> {
        let Sink::Store(store) = &mut self.sink else { return Vec::new() };
        let in_doubt = store.sync();
        stats::add(&self.counters.storage_errors, in_doubt.len() as u64);
        in_doubt
    }

    /// Whether [`Service::sync`] has anything to do or to report.
    pub fn needs_sync(&self) -> bool {
        match &self.sink {
            Sink::Store(store) => store.needs_sync(),
            Sink::Forward(_) => false,
        }
    }

    /// Where batches go on to a next hop: its answers, and what is to be done now and then.
    pub fn forwarder(&mut self) -> Option<&mut Forwarder> {
        match &mut self.sink {
            Sink::Store(_) => None,
            Sink::Forward(forwarder) => Some(forwarder),
        }
    }

    /// Ends the sink; whatever is not done by `deadline` is left to who comes next.
    pub fn stop(mut self, deadline: Duration) {
        // Nobody waits for an answer any more; what failed is counted.
        let _in_doubt = self.sync();
        if let Sink::Forward(forwarder) = self.sink {
            let _left_to_the_next = forwarder.stop(deadline);
        }
    }

    fn append(&mut self, request: &Append<'_>, now: Moment) -> ProduceReply {
        let acks_valid = request.acks_valid;
        let topics = request.topics.iter().map(|topic| self.append_topic(topic, acks_valid, now));
        ProduceReply { reply_to: request.reply_to, topics: topics.collect() }
    }

    fn append_topic(&mut self, topic: &TopicData<'_>, acks_valid: bool, now: Moment) -> TopicReply {
        let mut reply = TopicReply {
            name: topic.name.to_owned(),
            partitions: Vec::with_capacity(topic.partitions.len()),
            placed: Vec::with_capacity(topic.partitions.len()),
        };
        for partition in &topic.partitions {
            let index = partition.index;
            let placed = if acks_valid {
                let records = partition.records.unwrap_or_default();
                self.place(topic.name, index, records, now).map_err(|refusal| {
                    self.counters.refuse(refusal);
                    error_code(refusal)
                })
            } else {
                Err(ErrorCode::InvalidRequiredAcks)
            };
            let outcome = placed.map(|placed| placed.base_offset);
            reply.partitions.push(PartitionReply { index, outcome });
            reply.placed.push(placed.ok());
        }
        reply
    }

    fn place(
        &mut self,
        topic: &str,
        partition: i32,
        records: &[u8],
        now: Moment,
    ) -> Result<Placed, Refusal> {
        if !layout::check_topic(topic) {
            return Err(Refusal::InvalidTopic);
        }
        if partition != 0 {
            return Err(Refusal::UnknownPartition);
        }
        // Unwind safety: all that a judge keeps is memory that the next batch writes over.
        let judged = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert_ne!(topic, PANICS_JUDGED, "a defect, for the test of what follows");
            self.judge.judge(records)
        }));
        let Ok(judged) = judged else {
            // Refused like any that cannot be read: its producer divides it and sets the guilty record aside,
            // instead of sending the same bytes for ever.
            stats::add(&self.counters.panics, 1);
            return Err(Refusal::InvalidRecord);
        };
        let batch = judged?;
        #[cfg(test)]
        assert_ne!(topic, PANICS_STORED, "a defect, for the test of what follows");
        let appended = match &mut self.sink {
            Sink::Store(store) => store.append(topic, &batch, now),
            Sink::Forward(forwarder) => forwarder.append(topic, &batch),
        };
        let placed = match appended {
            Ok(placed) => placed,
            Err(AppendError::TooLarge) => return Err(Refusal::TooLarge),
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
            stats::add(&self.counters.bytes, records.len() as u64);
        }
        Ok(placed)
    }
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
        // This receiver has no room; another one may: to be sent again, not given up.
        Refusal::TooManyTopics | Refusal::Storage => ErrorCode::KafkaStorageError,
        Refusal::Malformed
        | Refusal::FrameTooLarge
        | Refusal::FirstFrameTimeout
        | Refusal::TooSlow
        | Refusal::Idle
        | Refusal::TlsHandshake
        | Refusal::AuthenticationFailed
        | Refusal::Unauthenticated
        | Refusal::TooManyFromAddress
        | Refusal::TooManyConnections => ErrorCode::UnknownServerError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receiver::tests::batch_of;
    use crate::receiver::tests::produce_request;

    fn frame(acks: i16, topic: &str, batch: &[u8]) -> Vec<u8> {
        produce_request(acks, topic, batch).split_off(4)
    }

    #[test]
    fn acknowledgements_wait_for_the_sync_that_was_promised() {
        let interval = Sync::Interval(std::time::Duration::from_millis(100));
        for (sync, waits) in [(Sync::None, false), (Sync::Batch, true), (interval, true)] {
            let dir = tempfile::tempdir().unwrap();
            let mut options = Options::new("127.0.0.1:0".parse().unwrap(), dir.path().join("r"));
            options.sync = sync;
            let store = Store::open(&options, Moment(0)).unwrap();
            let mut service = Service::new(Sink::Store(Box::new(store)), &options, Arc::default());
            let mut broker = Broker::new("127.0.0.1".to_owned(), 1, |_| true);
            let mut replies = Replies::default();
            let batch = batch_of(1, 0, 3, crate::batch::Codec::None);
            // A repeat has to wait as well: what it repeats may not be durable yet.
            for _ in 0..2 {
                let frame = frame(1, "t", &batch);
                service.serve(&frame, &mut broker, &mut replies, Moment(0)).unwrap();
                assert_eq!(replies.sendable().is_empty(), waits);
                assert_eq!(replies.is_holding(), waits);
            }
            assert!(service.needs_sync());
            assert!(service.sync().is_empty());
            assert!(!service.needs_sync());
            replies.release(&[]).unwrap();
            assert!(!replies.sendable().is_empty());
            let refused = frame(0, "bad/topic", &batch);
            let refused = service.serve(&refused, &mut broker, &mut replies, Moment(0));
            assert!(matches!(refused, Err(ServeError::RefusedWithoutAnswer)));
        }
    }
}
