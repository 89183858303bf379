//! One client's connection: its bytes in, its answers out, and whether it is too slow.
//!
//! Moves bytes and judges time, which is an argument. Must not know requests or the store.

use std::io;
use std::io::IoSlice;
use std::net::IpAddr;
use std::time::Duration;

use crate::ids::Moment;
use crate::proto::kafka::broker::Broker;
use crate::proto::kafka::wire::frame;
use crate::proto::kafka::wire::frame::FrameError;
use crate::receiver::options::Options;
use crate::receiver::receive_buffer::ReceiveBuffer;
use crate::receiver::replies::Replies;
use crate::receiver::stats::Refusal;
use crate::transport::Socket;

/// A begun frame must arrive at this rate, averaged from its first byte.
const RATE_BYTES_PER_SECOND_MIN: u64 = 1 << 10;

const FRAME_PREFIX_BYTES: usize = 4;

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Bytes arrived; there may be more.
    Bytes,
    /// Nothing more for now.
    Drained,
    /// The client closed its side.
    End,
}

/// A whole frame, without its size.
pub(crate) struct Arrived<'a> {
    pub frame: &'a [u8],
    pub broker: &'a mut Broker,
    pub replies: &'a mut Replies,
}

/// One connection.
pub(crate) struct Connection {
    pub socket: Socket,
    pub address: IpAddr,
    pub broker: Broker,
    pub replies: Replies,
    /// Whether it is in the loop's queue.
    pub queued: bool,
    input: ReceiveBuffer,
    /// Whether the connection stands, with TLS's handshake where there is one.
    stands: bool,
    accepted: Moment,
    /// When bytes last moved in either direction.
    last_moved: Moment,
    served: bool,
    /// No more is read: the client closed its side, or the receiver stops.
    ended: bool,
    /// When the frame that is arriving began, and how many bytes came since.
    open_frame: Option<(Moment, u64)>,
}

impl Connection {
    /// A connection accepted at `now`.
    pub fn new(
        (socket, address): (Socket, IpAddr),
        broker: Broker,
        bytes_max: usize,
        now: Moment,
    ) -> Self {
        Self {
            socket,
            address,
            stands: false,
            broker,
            replies: Replies::default(),
            queued: false,
            input: ReceiveBuffer::new(bytes_max),
            accepted: now,
            last_moved: now,
            served: false,
            ended: false,
            open_frame: None,
        }
    }

    /// Reads once.
    pub fn receive(&mut self, now: Moment) -> io::Result<Received> {
        self.stands = self.stands || self.socket.connected()?;
        if !self.stands {
            return Ok(Received::Drained);
        }
        match self.socket.receive(self.input.room())? {
            Some(0) => Ok(Received::End),
            Some(count) => {
                self.input.add(count);
                self.last_moved = now;
                let (_, arrived) = self.open_frame.get_or_insert((now, 0));
                *arrived += count as u64;
                Ok(Received::Bytes)
            }
            None => Ok(Received::Drained),
        }
    }

    /// Whether TLS's handshake is not over.
    pub fn is_handshaking(&self) -> bool {
        !self.stands
    }

    /// The first whole frame, with what it is answered by.
    pub fn frame(&mut self, frame_bytes_max: u32) -> Result<Option<Arrived<'_>>, FrameError> {
        let filled = self.input.filled();
        let Some((prefix, rest)) = filled.split_first_chunk::<FRAME_PREFIX_BYTES>() else {
            return Ok(None);
        };
        let size = frame::frame_size(*prefix, frame_bytes_max)?;
        let Self { broker, replies, .. } = self;
        Ok(rest.get(..size).map(|frame| Arrived { frame, broker, replies }))
    }

    /// Says that a frame of `size` bytes was handled.
    pub fn frame_handled(&mut self, size: usize, now: Moment) {
        self.input.consume(FRAME_PREFIX_BYTES + size);
        self.served = self.broker.is_passed();
        let rest = self.input.filled().len() as u64;
        self.open_frame = (rest > 0).then_some((now, rest));
    }

    /// Sends what can be sent.
    pub fn flush(&mut self, now: Moment) -> io::Result<()> {
        while !self.replies.sendable().is_empty() {
            match self.socket.send(&[IoSlice::new(self.replies.sendable())])? {
                Some(count) => {
                    self.replies.sent(count);
                    self.last_moved = now;
                }
                None => return Ok(()),
            }
        }
        if self.stands { self.socket.flush() } else { Ok(()) }
    }

    /// The client is not who it says: no byte of it counts any more, and it goes with its answer.
    pub fn turn_away(&mut self) {
        self.ended = true;
        let rest = self.input.filled().len();
        self.input.consume(rest);
        self.open_frame = None;
    }

    /// Nothing more will be read; the connection is kept until its answers have left.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing more will be read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the connection is to be closed at `now`, and why.
    pub fn overdue(&mut self, options: &Options, now: Moment) -> Option<Refusal> {
        let quiet = now.since(self.last_moved);
        if self.replies.is_holding() {
            return None;
        }
        if !self.replies.sendable().is_empty() {
            return (quiet >= options.progress_timeout).then_some(Refusal::TooSlow);
        }
        if !self.served && now.since(self.accepted) >= options.first_frame_timeout {
            return Some(Refusal::FirstFrameTimeout);
        }
        if let Some((began, arrived)) = self.open_frame {
            let open = now.since(began);
            let slow = open >= options.progress_timeout && arrived < bytes_due(open);
            return (slow || quiet >= options.progress_timeout).then_some(Refusal::TooSlow);
        }
        self.input.shrink();
        (quiet >= options.idle_timeout).then_some(Refusal::Idle)
    }

    /// Whether time matters at the grain of the fast tick.
    pub fn is_watched(&self) -> bool {
        !self.served || self.open_frame.is_some() || !self.replies.is_empty()
    }

    /// Who gives way when there are too many: strangers first, then those without work, longest
    /// quiet first.
    pub fn worth(&self) -> (bool, bool, Moment) {
        (self.served, self.open_frame.is_some() || !self.replies.is_empty(), self.last_moved)
    }
}

fn bytes_due(open: Duration) -> u64 {
    open.as_secs().saturating_mul(RATE_BYTES_PER_SECOND_MIN)
}
