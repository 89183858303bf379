//! The one thread of a receiver: accepts, reads, appends, syncs, answers, and watches the time.
//!
//! Owns the connections and the service. One turn: wait, accept, serve every connection that is
//! ready within a budget, sync once for all that arrived, answer, look for connections that are
//! overdue. Invariants: a connection never makes another wait for more than its budget (but for the
//! disk); an answer that waits for a sync leaves only after it.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::Events;
use mio::Interest;
use mio::Poll;
use mio::Token;
use mio::net::TcpListener;
use mio::net::TcpStream;

use crate::clock::Clock;
use crate::ids::Moment;
use crate::inspect::layout;
use crate::proto::kafka::broker::Broker;
use crate::proto::kafka::broker::BrokerError;
use crate::proto::kafka::wire::frame::FrameError;
use crate::receiver::connection::Arrived;
use crate::receiver::connection::Connection;
use crate::receiver::connection::Received;
use crate::receiver::control::Control;
use crate::receiver::guard::Guard;
use crate::receiver::options::Options;
use crate::receiver::service::ServeError;
use crate::receiver::service::Served;
use crate::receiver::service::Service;
use crate::receiver::slab::Slab;
use crate::receiver::stats;
use crate::receiver::stats::Counters;
use crate::receiver::stats::Refusal;
use crate::transport::Socket;

mod held;
mod supervised;

pub(crate) const WAKE: Token = Token(0);
const LISTEN: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

/// Reads of one connection in a turn, before the others have theirs.
const READS_PER_TURN: usize = 4;

/// How often deadlines are looked at while one is near, and while all connections are idle.
const FAST_TICK: Duration = Duration::from_millis(100);
const SLOW_TICK: Duration = Duration::from_secs(1);

/// Why a connection ends.
enum End {
    /// The client left, or the network did.
    Gone,
    Refused(Refusal),
}

impl From<ServeError> for End {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Broker(BrokerError::Unauthenticated) => {
                Self::Refused(Refusal::Unauthenticated)
            }
            ServeError::Broker(_) | ServeError::Encode(_) => Self::Refused(Refusal::Malformed),
            ServeError::RefusedWithoutAnswer => Self::Gone,
        }
    }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

pub(crate) struct EventLoop {
    poll: Poll,
    listener: Option<TcpListener>,
    connections: Slab<Connection>,
    ready: VecDeque<usize>,
    /// Connections with answers that wait for a sync.
    holding: Vec<usize>,
    service: Service,
    guard: Guard,
    options: Options,
    clock: Clock,
    control: Arc<Control>,
    counters: Arc<Counters>,
    next_tick: Option<Moment>,
    next_sync: Option<Moment>,
    /// Whether the last accept failed for want of something; tried again at the next tick.
    accept_again: bool,
}

impl EventLoop {
    pub fn new(
        poll: Poll,
        mut listener: TcpListener,
        (service, guard): (Service, Guard),
        options: Options,
        clock: Clock,
        (control, counters): (Arc<Control>, Arc<Counters>),
    ) -> io::Result<Self> {
        poll.registry().register(&mut listener, LISTEN, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener: Some(listener),
            connections: Slab::new(),
            ready: VecDeque::new(),
            holding: Vec::new(),
            service,
            guard,
            options,
            clock,
            control,
            counters,
            next_tick: None,
            next_sync: None,
            accept_again: false,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while self.control.stop_by().is_none() {
            self.turn(&mut events)?;
        }
        self.listener = None;
        for index in self.connections.indices().collect::<Vec<_>>() {
            self.connections[index].end();
            self.enqueue(index);
        }
        while !self.connections.is_empty() && self.control.stop_by() > Some(self.clock.moment()) {
            self.turn(&mut events)?;
        }
        Ok(())
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, self.timeout()) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let now = self.clock.moment();
        for event in events.iter() {
            match event.token() {
                WAKE => {}
                LISTEN => self.accept(now),
                Token(token) => self.enqueue(token - FIRST_CONNECTION),
            }
        }
        for _ in 0..self.ready.len() {
            if let Some(index) = self.ready.pop_front() {
                self.serve(index, now);
            }
        }
        self.sync_if_due(now);
        self.take_answers(now);
        if self.next_tick.is_some_and(|tick| tick <= now) {
            self.tick(now);
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.next_tick.into_iter().chain(self.next_sync).chain(self.control.stop_by());
        let next = next.min().map(|moment| moment.since(self.clock.moment()));
        // A relay's spool may have to be synced without an event.
        let forwarding = self.options.forward.as_ref().map(|_| FAST_TICK);
        next.into_iter().chain(forwarding).min()
    }

    fn accept(&mut self, now: Moment) {
        self.accept_again = false;
        if self.guard.look_again(now).is_err() {
            stats::add(&self.counters.credentials_failures, 1);
        }
        loop {
            let accepted = match &self.listener {
                Some(listener) => listener.accept(),
                None => return,
            };
            match accepted {
                Ok((_, peer)) if self.is_crowded(peer.ip()) => {
                    stats::add(&self.counters.connections, 1);
                    self.counters.refuse(Refusal::TooManyFromAddress);
                }
                Ok((stream, peer)) => {
                    stats::add(&self.counters.connections, 1);
                    if self.connections.len() >= self.options.connections_max {
                        self.refuse_the_least_worthy();
                    }
                    // An error here is the client's going away meanwhile.
                    let _gone = self.add(stream, peer.ip(), now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // Out of file descriptors or memory: one connection less, and again soon.
                    self.refuse_the_least_worthy();
                    self.accept_again = true;
                    self.next_tick = Some(now.after(FAST_TICK));
                    return;
                }
            }
        }
    }

    /// Whether an address has as many connections as it may.
    fn is_crowded(&self, address: IpAddr) -> bool {
        let connections = self.connections.indices().map(|index| &self.connections[index]);
        let of_it = connections.filter(|connection| connection.address == address).count();
        of_it >= self.options.connections_per_address_max
    }

    fn add(&mut self, stream: TcpStream, address: IpAddr, now: Moment) -> io::Result<()> {
        let mut socket = Socket::accepted(stream)?;
        self.guard.encrypt(&mut socket)?;
        let (host, port) = match self.options.advertise.clone() {
            Some(advertised) => advertised,
            None => {
                let local = socket.local_addr()?;
                (local.ip().to_string(), local.port())
            }
        };
        let token = Token(FIRST_CONNECTION + self.connections.next_index());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(socket.source(), token, interest)?;
        let broker = self.guard.admit(Broker::new(host, port, layout::check_topic));
        let bytes_max = self.options.connection_bytes_max;
        self.connections.insert(Connection::new((socket, address), broker, bytes_max, now));
        self.count_open();
        let soon = now.after(FAST_TICK);
        self.next_tick = Some(self.next_tick.map_or(soon, |tick| tick.min(soon)));
        Ok(())
    }

    fn enqueue(&mut self, index: usize) {
        if let Some(connection) = self.connections.get_mut(index)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push_back(index);
        }
    }

    /// Serves a connection for a turn: sends, handles what arrived, reads on, sends.
    fn serve(&mut self, index: usize, now: Moment) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.queued = false;
        match self.serve_within_budget(index, now) {
            Ok(true) => self.enqueue(index),
            Ok(false) => {}
            Err(End::Gone) if self.connections[index].is_handshaking() => {
                self.close(index, &End::Refused(Refusal::TlsHandshake));
            }
            Err(end) => self.close(index, &end),
        }
    }

    /// Whether there is more to do at once.
    fn serve_within_budget(&mut self, index: usize, now: Moment) -> Result<bool, End> {
        let connection = &mut self.connections[index];
        connection.flush(now)?;
        let mut drained = connection.has_ended();
        for _ in 0..READS_PER_TURN {
            self.handle_frames(index, now)?;
            let connection = &mut self.connections[index];
            if drained || connection.replies.is_backed_up() {
                break;
            }
            match connection.receive(now)? {
                Received::Bytes => {}
                Received::Drained => drained = true,
                Received::End => {
                    connection.end();
                    drained = true;
                }
            }
        }
        let all_handled = self.handle_frames(index, now)?;
        let connection = &mut self.connections[index];
        connection.flush(now)?;
        if all_handled && connection.has_ended() && connection.replies.is_empty() {
            return Err(End::Gone);
        }
        // While answers are backed up nothing is read or handled; when they have left, the socket's
        // readiness or the sync puts the connection into the queue again.
        let waits = connection.replies.is_backed_up() || (drained && all_handled);
        Ok(!waits)
    }

    /// Handles the whole frames that arrived; false if backed up answers made it stop before.
    fn handle_frames(&mut self, index: usize, now: Moment) -> Result<bool, End> {
        let frame_bytes_max = u32::try_from(self.options.frame_bytes_max).unwrap_or(u32::MAX);
        loop {
            let connection = &mut self.connections[index];
            let frame = connection.frame(frame_bytes_max).map_err(|error| {
                End::Refused(match error {
                    FrameError::TooLarge { .. } => Refusal::FrameTooLarge,
                    FrameError::Negative(_) => Refusal::Malformed,
                })
            })?;
            let Some(arrived) = frame else { return Ok(true) };
            if arrived.replies.is_backed_up() {
                return Ok(false);
            }
            let frame_bytes = arrived.frame.len();
            let was_holding = arrived.replies.is_holding();
            let Arrived { frame, broker, replies } = arrived;
            let served = self.service.serve(frame, broker, replies, now)?;
            if replies.is_holding() && !was_holding {
                self.holding.push(index);
            }
            connection.frame_handled(frame_bytes, now);
            if served == Served::TurnedAway {
                connection.turn_away();
            }
        }
    }

    fn tick(&mut self, now: Moment) {
        if self.accept_again {
            self.accept(now);
        }
        let mut watched = self.accept_again;
        for index in self.connections.indices().collect::<Vec<_>>() {
            let connection = &mut self.connections[index];
            match connection.overdue(&self.options, now) {
                Some(refusal) => self.close(index, &End::Refused(refusal)),
                None => watched |= connection.is_watched(),
            }
        }
        let idle = self.connections.is_empty() && !watched;
        let tick = if watched { FAST_TICK } else { SLOW_TICK };
        self.next_tick = (!idle).then(|| now.after(tick));
    }

    fn refuse_the_least_worthy(&mut self) {
        let worth = |index: &usize| self.connections[*index].worth();
        if let Some(index) = self.connections.indices().min_by_key(worth) {
            self.close(index, &End::Refused(Refusal::TooManyConnections));
        }
    }

    fn close(&mut self, index: usize, end: &End) {
        if let End::Refused(refusal) = end {
            self.counters.refuse(*refusal);
        }
        if let Some(connection) = self.connections.get_mut(index) {
            connection.socket.close();
        }
        self.holding.retain(|holding| *holding != index);
        self.connections.remove(index);
        self.count_open();
    }

    fn count_open(&self) {
        self.counters.set_connections_open(self.connections.len() as u64);
    }
}
