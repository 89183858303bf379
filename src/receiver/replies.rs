//! Answers of one connection, in the order of its requests.
//!
//! An answer to Produce may have to wait for a sync or for the next hop; what comes after it waits behind it, since
//! Kafka answers in order. Knows when an answer may leave, not how bytes are sent. Invariant: an
//! answer that was held is written only after [`Replies::release`], which says what the sync did
//! not save.

use std::collections::VecDeque;

use crate::proto::kafka::broker;
use crate::proto::kafka::broker::PartitionReply;
use crate::proto::kafka::broker::ReplyTo;
use crate::proto::kafka::errors::ErrorCode;
use crate::proto::kafka::wire::EncodeError;
use crate::receiver::store::InDoubt;
use crate::receiver::store::Placed;

/// With more than this unsent or held, no further request of the connection is read.
const READY_BYTES_MAX: usize = 256 << 10;
const HELD_MAX: usize = 1024;
const HELD_BYTES_MAX: usize = 1 << 20;
/// About what a partition's answer takes in memory while it is held.
const HELD_PARTITION_BYTES: usize = 128;

/// What became of the batches of one Produce request.
#[derive(Debug)]
pub(crate) struct ProduceReply {
    pub reply_to: ReplyTo,
    pub topics: Vec<TopicReply>,
}

/// What became of the batches for one topic.
#[derive(Debug)]
pub(crate) struct TopicReply {
    pub name: String,
    pub partitions: Vec<PartitionReply>,
    /// Where each of them is, for those that are stored.
    pub placed: Vec<Option<Placed>>,
}

impl ProduceReply {
    /// Whether every batch was stored.
    pub fn is_all_stored(&self) -> bool {
        self.topics.iter().all(|topic| topic.placed.iter().all(Option::is_some))
    }
}

#[derive(Debug)]
enum Held {
    Encoded(Vec<u8>),
    Produce(ProduceReply),
}

/// The answers of one connection.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    ready: Vec<u8>,
    sent: usize,
    held: VecDeque<Held>,
    held_bytes: usize,
}

impl Replies {
    /// Adds an answer that needs no sync itself.
    pub fn push_encoded(&mut self, answer: &[u8]) {
        if self.held.is_empty() {
            self.ready.extend_from_slice(answer);
        } else {
            self.held_bytes += answer.len();
            self.held.push_back(Held::Encoded(answer.to_vec()));
        }
    }

    /// Adds an answer to Produce, which waits for [`Replies::release`] if `hold`.
    pub fn push(&mut self, reply: ProduceReply, hold: bool) -> Result<(), EncodeError> {
        if hold || !self.held.is_empty() {
            self.held_bytes += held_bytes(&reply);
            self.held.push_back(Held::Produce(reply));
            return Ok(());
        }
        encode(&reply, &mut self.ready)
    }

    /// A sync was made that covers all that was pushed; `in_doubt` is what it did not save.
    pub fn release(&mut self, in_doubt: &[InDoubt]) -> Result<(), EncodeError> {
        self.held_bytes = 0;
        for held in self.held.drain(..) {
            match held {
                Held::Encoded(bytes) => self.ready.extend_from_slice(&bytes),
                Held::Produce(mut reply) => {
                    fail_what_is_in_doubt(&mut reply, in_doubt);
                    encode(&reply, &mut self.ready)?;
                }
            }
        }
        Ok(())
    }

    /// Lets go the answers whose batches the next hop has answered for, in order; `answer_for` says what it said. False
    /// where there were none.
    pub fn release_answered(
        &mut self,
        answer_for: impl Fn(&Placed) -> Option<Result<(), ErrorCode>>,
    ) -> Result<bool, EncodeError> {
        let before = self.held.len();
        while let Some(held) = self.held.pop_front() {
            match held {
                Held::Encoded(bytes) => {
                    self.held_bytes -= bytes.len();
                    self.ready.extend_from_slice(&bytes);
                }
                Held::Produce(mut reply) => {
                    if !take_answers(&mut reply, &answer_for) {
                        self.held.push_front(Held::Produce(reply));
                        break;
                    }
                    self.held_bytes -= held_bytes(&reply);
                    encode(&reply, &mut self.ready)?;
                }
            }
        }
        Ok(self.held.len() < before)
    }

    /// Bytes that may be sent now.
    pub fn sendable(&self) -> &[u8] {
        &self.ready[self.sent..]
    }

    /// Says that the first `count` of them were sent.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.ready.len() {
            self.sent = 0;
            self.ready.clear();
            self.ready.shrink_to(READY_BYTES_MAX);
        }
    }

    /// Whether the client must take or wait for answers before it may ask more.
    pub fn is_backed_up(&self) -> bool {
        self.sendable().len() > READY_BYTES_MAX
            || self.held.len() >= HELD_MAX
            || self.held_bytes > HELD_BYTES_MAX
    }

    /// Whether an answer waits for a sync.
    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether every answer has left.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.held.is_empty()
    }
}

/// About what an answer takes in memory while it is held.
fn held_bytes(reply: &ProduceReply) -> usize {
    let topics = reply.topics.iter();
    let bytes = topics.map(|topic| {
        size_of::<TopicReply>() + topic.name.len() + topic.partitions.len() * HELD_PARTITION_BYTES
    });
    bytes.sum()
}

/// Puts the next hop's answers into the reply; false, and nothing changed, where one is still missing.
fn take_answers(
    reply: &mut ProduceReply,
    answer_for: impl Fn(&Placed) -> Option<Result<(), ErrorCode>>,
) -> bool {
    let mut answers = Vec::new();
    for placed in reply.topics.iter().flat_map(|topic| &topic.placed) {
        match placed.as_ref().map(&answer_for) {
            Some(Some(answer)) => answers.push(answer),
            Some(None) => return false,
            // Refused before it was placed.
            None => answers.push(Ok(())),
        }
    }
    let partitions = reply.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for (partition, answer) in partitions.zip(answers) {
        if let Err(code) = answer {
            partition.outcome = Err(code);
        }
    }
    true
}

fn fail_what_is_in_doubt(reply: &mut ProduceReply, in_doubt: &[InDoubt]) {
    for topic in &mut reply.topics {
        for (partition, placed) in topic.partitions.iter_mut().zip(&topic.placed) {
            let lost = placed.is_some_and(|placed| {
                in_doubt.iter().any(|doubt| {
                    doubt.partition == placed.partition
                        && doubt.offsets.contains(&placed.base_offset)
                })
            });
            if lost {
                partition.outcome = Err(ErrorCode::KafkaStorageError);
            }
        }
    }
}

fn encode(reply: &ProduceReply, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let topics = reply.topics.iter().map(|topic| (&*topic.name, &*topic.partitions));
    broker::encode_produce_response(reply.reply_to, topics, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::kafka::broker::Broker;
    use crate::proto::kafka::broker::Handled;
    use crate::proto::kafka::wire::Reader;
    use crate::proto::kafka::wire::produce;

    const VERSION: i16 = 8;

    fn reply(correlation_id: i32, base_offset: u64) -> ProduceReply {
        let (client_id, topic) = ("c", "t");
        let head = produce::RequestHead {
            correlation_id,
            client_id,
            acks: 1,
            timeout_ms: 1,
            topic,
            partition: 0,
            batch_bytes: 0,
        };
        let mut frame = Vec::new();
        head.encode(VERSION, &mut frame).unwrap();
        let mut broker = Broker::new("127.0.0.1".to_owned(), 1, |_| true);
        let handled = broker.handle(&frame[4..], || 0, &mut Vec::new()).unwrap();
        let Handled::Append(append) = handled else { panic!("{handled:?}") };
        let placed = Placed { partition: 7, base_offset, repeat: false };
        ProduceReply {
            reply_to: append.reply_to,
            topics: vec![TopicReply {
                name: topic.to_owned(),
                partitions: vec![PartitionReply { index: 0, outcome: Ok(base_offset) }],
                placed: vec![Some(placed)],
            }],
        }
    }

    /// Correlation id and error code of each answer that may be sent.
    fn answers(replies: &Replies) -> Vec<(i32, i16)> {
        let mut rest = replies.sendable();
        let mut found = Vec::new();
        while let Some((size, more)) = rest.split_first_chunk() {
            let (frame, after) = more.split_at(u32::from_be_bytes(*size) as usize);
            let mut reader = Reader::new(frame);
            let correlation_id = reader.i32().unwrap();
            let response = produce::Response::decode(VERSION, &mut reader).unwrap();
            found.push((correlation_id, response.topics[0].partitions[0].error.number()));
            rest = after;
        }
        found
    }

    #[test]
    fn what_a_sync_did_not_save_is_answered_as_a_storage_error() {
        let mut replies = Replies::default();
        for (correlation_id, base_offset) in [(1, 9), (2, 10), (3, 19), (4, 20)] {
            replies.push(reply(correlation_id, base_offset), true).unwrap();
        }
        assert!(replies.sendable().is_empty(), "nothing leaves before the sync");
        let elsewhere = InDoubt { partition: 8, offsets: 0..100 };
        let in_doubt = [elsewhere, InDoubt { partition: 7, offsets: 10..20 }];
        replies.release(&in_doubt).unwrap();
        assert_eq!(answers(&replies), [(1, 0), (2, 56), (3, 56), (4, 0)]);
    }

    #[test]
    fn answers_wait_for_the_next_hop_in_order_and_pass_its_refusals_on() {
        let mut replies = Replies::default();
        for (correlation_id, base_offset) in [(1, 0), (2, 10), (3, 20)] {
            replies.push(reply(correlation_id, base_offset), true).unwrap();
        }
        let answer_for = |known: &'static [(u64, Result<(), ErrorCode>)]| {
            move |placed: &Placed| {
                let found = known.iter().find(|(number, _)| *number == placed.base_offset);
                found.map(|(_, answer)| *answer)
            }
        };
        replies.release_answered(answer_for(&[(10, Ok(()))])).unwrap();
        assert!(replies.sendable().is_empty(), "the first one is not answered");
        let two = &[(0, Ok(())), (10, Err(ErrorCode::InvalidRecord))];
        replies.release_answered(answer_for(two)).unwrap();
        assert_eq!(answers(&replies), [(1, 0), (2, 87)]);
        replies.release_answered(answer_for(&[(20, Ok(()))])).unwrap();
        assert_eq!(answers(&replies), [(1, 0), (2, 87), (3, 0)]);
        assert!(!replies.is_holding() && replies.held_bytes == 0);
    }

    #[test]
    fn the_names_of_empty_topics_take_room_too() {
        let mut replies = Replies::default();
        let mut large = reply(1, 0);
        large.topics[0].partitions.clear();
        large.topics[0].placed.clear();
        large.topics[0].name = "n".repeat(HELD_BYTES_MAX);
        replies.push(large, true).unwrap();
        assert!(replies.is_backed_up());
    }

    #[test]
    fn what_needs_no_sync_waits_behind_what_does() {
        let mut replies = Replies::default();
        replies.push(reply(1, 0), false).unwrap();
        replies.push(reply(2, 1), true).unwrap();
        let mut third = Replies::default();
        third.push(reply(3, 2), false).unwrap();
        replies.push_encoded(third.sendable());
        assert_eq!(answers(&replies), [(1, 0)]);
        replies.release(&[]).unwrap();
        assert_eq!(answers(&replies), [(1, 0), (2, 0), (3, 0)]);
        let bytes = replies.sendable().len();
        replies.sent(bytes);
        assert!(replies.is_empty());
    }
}
