//! The state machine of one connection: what to send, what the answers mean, when to wake.
//!
//! Owns correlation ids, deadlines, throttling and the order of requests. Knows nothing of
//! sequences, retries or other connections. Invariants: responses answer requests strictly in
//! order; an error ends the session for ever; nothing is sent while the broker wants silence.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use zeroize::Zeroize;

use crate::batch::HEADER_BYTES;
use crate::ids::Moment;
use crate::proto::kafka::client::error::CommandError;
use crate::proto::kafka::client::error::SessionError;
use crate::proto::kafka::client::event::Event;
use crate::proto::kafka::client::event::Outcome;
use crate::proto::kafka::client::event::Produced;
use crate::proto::kafka::client::versions;
use crate::proto::kafka::client::versions::Versions;
use crate::proto::kafka::wire::ApiKey;
use crate::proto::kafka::wire::EncodeError;
use crate::proto::kafka::wire::frame::FrameBuffer;
use crate::proto::kafka::wire::init_producer_id;
use crate::proto::kafka::wire::produce;

mod answers;
mod requests;
mod sasl;
#[cfg(test)]
mod tests;

pub use sasl::Authentication;

/// Which acknowledgement a batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Of all replicas in sync.
    All,
    /// Of the partition's leader.
    Leader,
    /// None at all: the broker answers nothing.
    None,
}

/// How a session behaves.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// What the broker calls us in its logs and quotas; at most 32,767 bytes.
    pub client_id: String,
    /// Which acknowledgement batches wait for.
    pub acks: Acks,
    /// How long a response may take; also how long the broker may wait for replicas.
    pub request_timeout: Duration,
    /// Largest response that is accepted.
    pub frame_bytes_max: u32,
    /// How to prove who we are, where the broker asks for it.
    pub authentication: Option<Authentication>,
}

/// A batch to send.
#[derive(Clone, Copy, Debug)]
pub struct ProduceRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The driver's name for the batch; unique among those in flight.
    pub token: u64,
    /// The batch's header, bound.
    pub header: [u8; HEADER_BYTES],
    /// Bytes of its body, which the driver finds by `token`.
    pub body_bytes: u32,
}

/// Bytes to write, in this order: `head`; the header and body of `batch`; `tail`. Its `Debug` shows no
/// byte of `head`, which may hold a secret.
#[derive(PartialEq, Eq)]
pub struct Transmit {
    /// Bytes in front of the batch, or a whole request.
    pub head: Vec<u8>,
    /// The batch, if the request carries one.
    pub batch: Option<TransmitBatch>,
    /// Bytes behind the batch.
    pub tail: &'static [u8],
}

impl Drop for Transmit {
    /// It may have held a secret, and its connection ended before it was recycled.
    fn drop(&mut self) {
        self.head.zeroize();
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Transmit");
        shown.field("head_bytes", &self.head.len()).field("batch", &self.batch);
        shown.finish_non_exhaustive()
    }
}

/// The part of a [`Transmit`] that the driver owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransmitBatch {
    /// The driver's name for the batch.
    pub token: u64,
    /// The batch's header.
    pub header: [u8; HEADER_BYTES],
    /// Bytes of its body.
    pub body_bytes: u32,
}

/// A batch that was given to the session and is not yet reported by [`Event::Produced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// The driver's name for the batch.
    pub token: u64,
    /// Whether [`Session::poll_transmit`] returned it: if not, it was certainly not appended.
    pub transmitted: bool,
}

/// Requests that a session keeps without an answer: far more than a window allows, and a bound.
const REQUESTS_MAX: usize = 1024;

/// The longest silence that a broker can ask for: whatever it says, we try again after this.
const THROTTLE_MAX: Duration = Duration::from_secs(300);

/// Buffers that are kept for reuse.
const SPARE_HEADS_MAX: usize = 8;

/// One connection to a broker, from its first byte to its last.
///
/// Four families of methods:
///
/// * `handle_*` tell what happened: [`handle_bytes`](Self::handle_bytes) (bytes arrived),
///   [`handle_timeout`](Self::handle_timeout) (the moment of `poll_timeout` has come),
///   [`handle_written`](Self::handle_written) (a batch is written).
/// * Commands tell what is wanted: [`request_metadata`](Self::request_metadata),
///   [`request_producer_id`](Self::request_producer_id),
///   [`request_heartbeat`](Self::request_heartbeat), [`produce`](Self::produce). They are refused
///   before [`Event::Ready`].
/// * `poll_*` tell what to do: [`poll_transmit`](Self::poll_transmit) (write this),
///   [`poll_event`](Self::poll_event), [`poll_timeout`](Self::poll_timeout) (wake me then).
/// * Getters: [`versions`](Self::versions), [`in_flight`](Self::in_flight),
///   [`batches_in_flight`](Self::batches_in_flight).
///
/// After any `handle_*` or command, drain `poll_transmit` and `poll_event` until they return none,
/// then ask `poll_timeout`. The order among the three does not matter, except that transmits must
/// be written in the order in which they are polled. Each moment passed in must not lie before the
/// one passed in last. When a `handle_*` returns an error the session has ended: drain the events,
/// ask for the batches in flight, whose fate is in doubt, and close the connection.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    phase: Phase,
    frames: FrameBuffer,
    next_correlation_id: i32,
    /// Requests whose response is due, in the order of their correlation ids and deadlines.
    unanswered: VecDeque<Request>,
    /// Batches that get no response and are not written yet, in the same order.
    unwritten: VecDeque<Request>,
    /// What is not written yet, by correlation id.
    outbox: VecDeque<(i32, Transmit)>,
    events: VecDeque<Event>,
    muted_until: Option<Moment>,
    /// When the driver is told that the authentication will not hold much longer.
    expires_at: Option<Moment>,
    spare_heads: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Phase {
    Negotiating,
    Authenticating(Box<sasl::Pending>),
    Ready(Versions),
    Ended(SessionError),
}

#[derive(Debug)]
struct Request {
    correlation_id: i32,
    version: i16,
    deadline: Moment,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    ApiVersions,
    Heartbeat,
    Metadata,
    Produce { token: u64, topic: String, partition: i32 },
    ProducerId,
    SaslAuthenticate,
    SaslHandshake,
}

impl Session {
    /// A session on a connection that was just established. The first request is ready to be
    /// transmitted. An error means that the client id is too long.
    pub fn new(options: SessionOptions, now: Moment) -> Result<Self, EncodeError> {
        let mut session = Self {
            frames: FrameBuffer::new(options.frame_bytes_max),
            options,
            phase: Phase::Negotiating,
            next_correlation_id: 0,
            unanswered: VecDeque::new(),
            unwritten: VecDeque::new(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            muted_until: None,
            expires_at: None,
            spare_heads: Vec::new(),
        };
        session.request_versions(now, versions::API_VERSIONS)?;
        Ok(session)
    }

    /// Takes bytes that arrived, in any cut.
    pub fn handle_bytes(&mut self, now: Moment, bytes: &[u8]) -> Result<(), SessionError> {
        self.check_alive()?;
        self.unmute(now);
        let mut frames = std::mem::replace(&mut self.frames, FrameBuffer::new(0));
        frames.push(bytes);
        let outcome = self.handle_frames(now, &mut frames);
        self.frames = frames;
        outcome.map_err(|error| self.end(error))
    }

    /// Notes that time has passed: ends a throttle, or the session if a response is overdue.
    pub fn handle_timeout(&mut self, now: Moment) -> Result<(), SessionError> {
        self.check_alive()?;
        self.unmute(now);
        let oldest = [self.unanswered.front(), self.unwritten.front()];
        let overdue = oldest.into_iter().flatten().find(|request| request.deadline <= now);
        if let Some(api) = overdue.map(|request| request.kind.api()) {
            let timeout = self.options.request_timeout;
            return Err(self.end(SessionError::RequestTimedOut { api, timeout }));
        }
        if self.expires_at.take_if(|at| *at <= now).is_some() {
            self.events.push_back(Event::Expiring);
        }
        Ok(())
    }

    /// Notes that the last byte of a batch was handed to the operating system. With acks=0 that is
    /// the batch's outcome; with other acks the answer is, and nothing happens here.
    pub fn handle_written(&mut self, token: u64) {
        let written = self.unwritten.iter().position(|request| request.kind.token() == Some(token));
        if written.and_then(|index| self.unwritten.remove(index)).is_some() {
            self.events.push_back(Event::Produced(Produced {
                token,
                outcome: Outcome::Unconfirmed,
                throttle: Duration::ZERO,
            }));
        }
    }

    /// Asks for the brokers and for these topics; none asks for the brokers alone. Brokers older
    /// than Kafka 0.11 may create a topic whatever `allow_auto_create` says.
    pub fn request_metadata(
        &mut self,
        now: Moment,
        topics: &[&str],
        allow_auto_create: bool,
    ) -> Result<(), CommandError> {
        self.ask_metadata(now, topics, allow_auto_create, Kind::Metadata)
    }

    /// Asks for nothing, so that an idle connection proves that it is alive.
    pub fn request_heartbeat(&mut self, now: Moment) -> Result<(), CommandError> {
        self.ask_metadata(now, &[], false, Kind::Heartbeat)
    }

    /// Asks for a producer id.
    pub fn request_producer_id(&mut self, now: Moment) -> Result<(), CommandError> {
        let offered = self.accept_command(now)?.init_producer_id;
        let version = offered.ok_or(CommandError::NotOffered(ApiKey::InitProducerId))?;
        self.ask(now, version, Kind::ProducerId, |writer| {
            init_producer_id::Request::IDEMPOTENT.encode(version, writer);
        })?;
        Ok(())
    }

    /// Sends a batch.
    pub fn produce(&mut self, now: Moment, batch: ProduceRequest<'_>) -> Result<(), CommandError> {
        let version = self.accept_command(now)?.produce;
        let batch_bytes = u64::from(batch.body_bytes) + HEADER_BYTES as u64;
        let correlation_id = self.next_correlation_id;
        let head = produce::RequestHead {
            correlation_id,
            client_id: &self.options.client_id,
            acks: self.options.acks.number(),
            timeout_ms: i32::try_from(self.options.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic: batch.topic,
            partition: batch.partition,
            batch_bytes: u32::try_from(batch_bytes)
                .map_err(|_| EncodeError::FrameTooLong(batch_bytes))?,
        };
        let mut bytes = self.spare_heads.pop().unwrap_or_default();
        head.encode(version, &mut bytes)?;
        let transmit = Transmit {
            head: bytes,
            batch: Some(TransmitBatch {
                token: batch.token,
                header: batch.header,
                body_bytes: batch.body_bytes,
            }),
            tail: produce::request_tail(version),
        };
        let kind = Kind::Produce {
            token: batch.token,
            topic: batch.topic.to_owned(),
            partition: batch.partition,
        };
        self.enqueue(now, version, kind, transmit);
        Ok(())
    }

    /// What to write next; nothing while the broker wants silence. After writing it the driver may
    /// give `head` back with [`Session::recycle`].
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if self.muted_until.is_some() || self.check_alive().is_err() {
            return None;
        }
        self.outbox.pop_front().map(|(_, transmit)| transmit)
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Session::handle_timeout`]; never if none.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.check_alive().ok()?;
        // Also with nothing to send: who asked [`Session::is_muted`] waits for the end.
        let silence_ends = self.muted_until;
        let due = |requests: &VecDeque<Request>| requests.front().map(|request| request.deadline);
        let due = [due(&self.unanswered), due(&self.unwritten)];
        due.into_iter().chain([silence_ends, self.expires_at]).flatten().min()
    }

    /// Takes a buffer back for reuse; wiped, for it may have held a secret.
    pub fn recycle(&mut self, mut head: Vec<u8>) {
        head.zeroize();
        if self.spare_heads.len() < SPARE_HEADS_MAX {
            self.spare_heads.push(head);
        }
    }

    /// The versions in use; none before [`Event::Ready`] and after the end.
    pub fn versions(&self) -> Option<Versions> {
        match &self.phase {
            Phase::Ready(versions) => Some(*versions),
            Phase::Negotiating | Phase::Authenticating(_) | Phase::Ended(_) => None,
        }
    }

    /// Whether the broker wants silence (KIP-219): what is sent now waits.
    pub fn is_muted(&self) -> bool {
        self.muted_until.is_some()
    }

    /// How many batches are in flight.
    pub fn in_flight(&self) -> usize {
        self.tokens().count()
    }

    /// The batches in flight, in the order in which they were given. When the connection dies the
    /// transmitted ones are in doubt.
    pub fn batches_in_flight(&self) -> impl Iterator<Item = InFlight> {
        self.tokens().map(|token| InFlight {
            token,
            transmitted: !self
                .outbox
                .iter()
                .any(|(_, transmit)| transmit.batch.is_some_and(|batch| batch.token == token)),
        })
    }

    fn tokens(&self) -> impl Iterator<Item = u64> {
        self.unanswered.iter().chain(&self.unwritten).filter_map(|request| request.kind.token())
    }

    fn check_alive(&self) -> Result<(), SessionError> {
        match &self.phase {
            Phase::Ended(error) => Err(error.clone()),
            Phase::Negotiating | Phase::Authenticating(_) | Phase::Ready(_) => Ok(()),
        }
    }

    /// Ends the session. What was not transmitted stays listed as such, but never will be.
    fn end(&mut self, error: SessionError) -> SessionError {
        self.phase = Phase::Ended(error.clone());
        error
    }
}
