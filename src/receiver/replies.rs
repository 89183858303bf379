//! Answers of one connection, in the order of its requests.
//!
//! An answer to Produce may have to wait for a sync; what comes after it waits behind it, since Kafka
//! answers in order. Knows when an answer may leave, not how bytes are sent. Invariant: an answer that
//! was held is written only after [`Replies::release`], which says what the sync did not save.

use std::collections::VecDeque;

use crate::proto::kafka::broker;
use crate::proto::kafka::broker::PartitionReply;
use crate::proto::kafka::broker::ReplyTo;
use crate::proto::kafka::errors::ErrorCode;
use crate::receiver::store::InDoubt;
use crate::receiver::store::Placed;

/// With more than this unsent or held, no further request of the connection is read.
const READY_BYTES_MAX: usize = 256 << 10;
const HELD_MAX: usize = 1024;

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
}

/// An answer cannot be expressed; the connection is of no more use.
#[derive(Debug)]
pub(crate) struct Inexpressible;

impl Replies {
    /// Where an answer that needs no sync is to be appended.
    pub fn out(&mut self) -> &mut Vec<u8> {
        if self.held.is_empty() {
            return &mut self.ready;
        }
        self.held.push_back(Held::Encoded(Vec::new()));
        match self.held.back_mut() {
            Some(Held::Encoded(bytes)) => bytes,
            Some(Held::Produce(_)) | None => unreachable!("it was pushed one line above"),
        }
    }

    /// Adds an answer to Produce, which waits for [`Replies::release`] if `hold`.
    pub fn push(&mut self, reply: ProduceReply, hold: bool) -> Result<(), Inexpressible> {
        if hold || !self.held.is_empty() {
            self.held.push_back(Held::Produce(reply));
            return Ok(());
        }
        encode(&reply, &mut self.ready)
    }

    /// A sync was made that covers all that was pushed; `in_doubt` is what it did not save.
    pub fn release(&mut self, in_doubt: &[InDoubt]) -> Result<(), Inexpressible> {
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
        self.sendable().len() > READY_BYTES_MAX || self.held.len() >= HELD_MAX
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

fn encode(reply: &ProduceReply, out: &mut Vec<u8>) -> Result<(), Inexpressible> {
    let topics = reply.topics.iter().map(|topic| (&*topic.name, &*topic.partitions));
    broker::encode_produce_response(reply.reply_to, topics, out).map_err(|_| Inexpressible)
}
