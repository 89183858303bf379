//! The store of a receiver that keeps nothing: batches go on to the next hop.
//!
//! Owns the window of repeats and which answers the next hop's word is waited for. A repeat gets the answer of the
//! batch that it repeats, unless that was given up: then it is a new one. Must not know sockets or the protocol.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crate::batch::HEADER_BYTES;
use crate::config::Config;
use crate::ids::Moment;
use crate::pipeline::relay;
use crate::pipeline::relay::GivenUp;
use crate::pipeline::relay::IngestError;
use crate::pipeline::relay::Relay;
use crate::proto::kafka::errors::ErrorCode;
use crate::receiver::dedupe::DedupeWindow;
use crate::receiver::options::Options;
use crate::receiver::store::AppendError;
use crate::receiver::store::Incoming;
use crate::receiver::store::Placed;

/// Where batches go on to, and what an acknowledgement promises then.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The next hop: a URL and options, as an application has them. Its topic counts for nothing: batches keep
    /// theirs.
    pub config: Config,
    /// When a batch is acknowledged.
    pub acknowledge: Acknowledge,
}

/// When a relay acknowledges a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// When the next hop has acknowledged it; what that refuses for good is refused.
    #[default]
    Delivered,
    /// When it is in the relay's own spool, as durable as `spool.sync` says. What the next hop refuses for good
    /// then is counted by the relay only.
    Stored,
}

/// See the module's head.
pub(crate) struct Forwarder {
    relay: Relay,
    acknowledge: Acknowledge,
    window: DedupeWindow,
    topics: HashMap<String, usize>,
    topics_max: usize,
}

impl Forwarder {
    pub fn new(relay: Relay, acknowledge: Acknowledge, options: &Options) -> Self {
        Self {
            relay,
            acknowledge,
            window: DedupeWindow::new(options.dedupe_producers_max, options.dedupe_batches_max),
            topics: HashMap::new(),
            topics_max: options.topics_max,
        }
    }

    /// Whether acknowledgements wait for the next hop.
    pub fn holds(&self) -> bool {
        self.acknowledge == Acknowledge::Delivered
    }

    /// Takes a batch for `topic`, a checked name; or finds that it is a repeat.
    pub fn append(&mut self, topic: &str, batch: &Incoming<'_>) -> Result<Placed, AppendError> {
        let index = self.index_of(topic)?;
        if let Some(producer) = &batch.producer
            && let Some(base_offset) = self.window.find(index, producer)
            && !self.is_given_up(base_offset)
        {
            return Ok(Placed { partition: index, base_offset, repeat: true });
        }
        let body = &batch.bytes[HEADER_BYTES..];
        let number = self.relay.ingest(&relay::Incoming { topic, header: &batch.header, body });
        let base_offset = number.map_err(|error| match error {
            IngestError::TooLarge => AppendError::TooLarge,
            IngestError::Unavailable(error) => AppendError::Storage(io::Error::other(error)),
        })?;
        if let Some(producer) = &batch.producer {
            self.window.insert(index, producer, base_offset);
        }
        Ok(Placed { partition: index, base_offset, repeat: false })
    }

    /// Blocks on the disk now, so that batches need not.
    pub fn maintain(&mut self, now: Moment) {
        self.relay.maintain(now);
    }

    /// What the next hop said of what was placed there; nothing yet, or good, or the code for the producer.
    pub fn answer_for(&self, placed: &Placed) -> Option<Result<(), ErrorCode>> {
        let outcome = self.relay.progress().of(placed.base_offset)?;
        Some(outcome.map_err(|reason| match reason {
            GivenUp::TooLarge => ErrorCode::MessageTooLarge,
            GivenUp::Rejected => ErrorCode::InvalidRecord,
            GivenUp::NoRoom | GivenUp::Damaged | GivenUp::Forgotten => ErrorCode::KafkaStorageError,
        }))
    }

    /// Ends it; what is not delivered by `deadline` is left to the next relay of the name.
    pub fn stop(self, deadline: Duration) -> bool {
        self.relay.stop(deadline)
    }

    /// Whether a batch was given up: what comes under its sequences then is a new one. A batch that our disk spoiled
    /// is sent again; behind a record that was refused for good, its producer goes on with the same sequences.
    fn is_given_up(&self, number: u64) -> bool {
        match self.relay.progress().of(number) {
            Some(Err(GivenUp::Damaged)) => true,
            // Where the producer was not told of it, what comes is a repeat.
            Some(Err(_)) => self.holds(),
            Some(Ok(())) | None => false,
        }
    }

    fn index_of(&mut self, topic: &str) -> Result<usize, AppendError> {
        if let Some(index) = self.topics.get(topic) {
            return Ok(*index);
        }
        let index = self.topics.len();
        if index >= self.topics_max {
            return Err(AppendError::TooManyTopics);
        }
        self.topics.insert(topic.to_owned(), index);
        Ok(index)
    }
}
