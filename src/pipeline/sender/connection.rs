//! One lane's connection: its socket, its session, and what is being written.
//!
//! Moves bytes between the two and nothing else: what a batch's outcome means is decided elsewhere. A batch's
//! body goes from the spool's mapping to the kernel without a copy (with TLS, by way of a bounded buffer); its payload
//! handle keeps the mapping.

use std::collections::VecDeque;
use std::io;
use std::io::IoSlice;

use thiserror::Error;

use crate::ids::Moment;
use crate::pipeline::sender::payload::Payload;
use crate::proto::fleet::Target;
use crate::proto::kafka::client::Event;
use crate::proto::kafka::client::Session;
use crate::proto::kafka::client::SessionError;
use crate::proto::kafka::client::Transmit;
use crate::proto::kafka::wire::EncodeError;
use crate::transport::Socket;
use crate::transport::tls::TlsError;

/// Pieces handed to one `sendmsg`: Linux takes up to 1,024 (`UIO_MAXIOV`); a window needs far fewer.
const PIECES_MAX: usize = 64;

/// Why a connection is of no use any more.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Socket(#[from] io::Error),
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Ended,
    /// What is to be encrypted cannot be.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address belongs to nothing that has a name any more.
    #[error("the host is gone, so there is no name to verify")]
    Nameless,
    /// The first token is not there yet.
    #[error("sasl.token_command has not given a token yet")]
    NoToken,
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
    /// A request of the session cannot be expressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The peer broke the protocol, or was silent for too long.
    #[error("{0}")]
    Session(#[from] SessionError),
}

/// A request being written: four pieces, of which the middle two are a batch.
struct Outgoing {
    transmit: Transmit,
    body: Option<Payload>,
    written: usize,
}

impl Outgoing {
    fn pieces(&self) -> [&[u8]; 4] {
        let header = self.transmit.batch.as_ref().map_or(&[][..], |batch| &batch.header[..]);
        let body = self.body.as_ref().map_or(&[][..], Payload::body);
        [&self.transmit.head, header, body, self.transmit.tail]
    }

    fn bytes(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }
}

/// See the module's head.
pub struct Connection {
    /// Where it goes.
    pub target: Target,
    /// Which credentials it was made with.
    pub generation: u32,
    socket: Socket,
    session: Option<Session>,
    outgoing: VecDeque<Outgoing>,
}

impl Connection {
    /// A connection whose socket is still connecting.
    pub fn new(target: Target, generation: u32, socket: Socket) -> Self {
        Self { target, generation, socket, session: None, outgoing: VecDeque::new() }
    }

    /// The socket, to be registered or deregistered.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// The session, once the connection stands.
    pub fn session(&mut self) -> Option<&mut Session> {
        self.session.as_mut()
    }

    /// Whether the session takes commands.
    pub fn is_ready(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.versions().is_some())
    }

    /// Whether the peer gives producer ids; none before it has said what it offers.
    pub fn gives_producer_ids(&self) -> Option<bool> {
        let versions = self.session.as_ref()?.versions()?;
        Some(versions.init_producer_id.is_some())
    }

    /// Whether the peer wants silence for now.
    pub fn is_muted(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_muted)
    }

    /// Starts `session` on the connection that now stands.
    pub fn start(&mut self, session: Session) {
        self.session = Some(session);
    }

    /// Whether the socket's connect is decided and stands.
    pub fn is_connected(&mut self) -> io::Result<bool> {
        self.socket.connected()
    }

    /// Reads all there is into the session.
    pub fn read(&mut self, now: Moment, buffer: &mut [u8]) -> Result<bool, ConnectionError> {
        let Some(session) = &mut self.session else { return Ok(false) };
        let mut progressed = false;
        loop {
            match self.socket.receive(buffer)? {
                Some(0) => return Err(ConnectionError::Ended),
                Some(count) => {
                    progressed = true;
                    session.handle_bytes(now, &buffer[..count])?;
                }
                None => return Ok(progressed),
            }
        }
    }

    /// Writes what the session wants written, as far as the kernel takes it. `payload_of` finds the
    /// bytes of a batch by its token; a batch that is gone is not written at all.
    pub fn write(
        &mut self,
        payload_of: impl Fn(u64) -> Option<Payload>,
    ) -> Result<(), ConnectionError> {
        loop {
            self.fill(&payload_of);
            if self.outgoing.is_empty() {
                return Ok(self.socket.flush()?);
            }
            let sent = {
                let mut pieces = Vec::with_capacity(PIECES_MAX);
                for outgoing in &self.outgoing {
                    let mut skip = outgoing.written;
                    for piece in outgoing.pieces() {
                        let start = skip.min(piece.len());
                        skip -= start;
                        if start < piece.len() && pieces.len() < PIECES_MAX {
                            pieces.push(IoSlice::new(&piece[start..]));
                        }
                    }
                }
                self.socket.send(&pieces)?
            };
            let Some(sent) = sent else { return Ok(()) };
            self.advance(sent);
        }
    }

    /// What the session reports next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.session.as_mut()?.poll_event()
    }

    fn fill(&mut self, payload_of: &impl Fn(u64) -> Option<Payload>) {
        let Some(session) = &mut self.session else { return };
        while self.outgoing.len() * 4 < PIECES_MAX {
            let Some(transmit) = session.poll_transmit() else { return };
            let body = transmit.batch.as_ref().and_then(|batch| payload_of(batch.token));
            self.outgoing.push_back(Outgoing { transmit, body, written: 0 });
        }
    }

    fn advance(&mut self, mut sent: usize) {
        while sent > 0
            && let Some(front) = self.outgoing.front_mut()
        {
            let rest = front.bytes() - front.written;
            if sent < rest {
                front.written += sent;
                return;
            }
            sent -= rest;
            let Some(mut done) = self.outgoing.pop_front() else { return };
            if let Some(session) = &mut self.session {
                if let Some(batch) = done.transmit.batch {
                    session.handle_written(batch.token);
                }
                session.recycle(std::mem::take(&mut done.transmit.head));
            }
        }
    }
}
