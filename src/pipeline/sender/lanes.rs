//! Carries out the fleet's decisions: resolve, connect, close, and moves bytes on every connection.
//!
//! Whatever happens on a connection is told to the fleet; what was on a lane that is gone goes back to be
//! sent again.

use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::pipeline::sender::connection::ConnectionError;
use crate::pipeline::sender::flights::Flight;
use crate::proto::fleet;
use crate::proto::fleet::Action;
use crate::proto::fleet::Target;
use crate::proto::kafka::client::Session;
use crate::transport::Resolved;

/// Bytes read from a connection at once.
pub(super) const READ_BYTES: usize = 64 * 1024;

impl Sender {
    /// Carries out what the fleet decided; false where that was nothing.
    pub(super) fn act(&mut self, now: Moment) -> bool {
        let mut happened = self.take_answers(now);
        while let Some(action) = self.fleet.poll_action() {
            happened = true;
            match action {
                Action::Resolve(endpoint) => self.resolve(endpoint),
                Action::Connect { lane, target } => self.connect(now, lane, target),
                Action::Close { lane, reason } => {
                    self.tally.count_close(reason);
                    if let (false, Some(connection)) = (reason.is_clean(), self.connection(lane)) {
                        let address = connection.target.address;
                        self.tally.note_failure(address, reason.text().to_owned());
                    }
                    self.close(now, lane, reason.is_clean());
                }
                Action::Heartbeat { lane } => {
                    let session = self.connection(lane).and_then(Connection::session);
                    let asked = session.map(|session| session.request_heartbeat(now).is_ok());
                    if asked != Some(true) {
                        self.close(now, lane, false);
                    }
                }
            }
        }
        // Literal addresses are answered at once.
        self.take_answers(now) || happened
    }

    /// Tells the fleet what the resolver found; false where it found nothing new.
    fn take_answers(&mut self, now: Moment) -> bool {
        let answers = self.resolver.answers();
        let happened = !answers.is_empty();
        for Resolved { endpoint, host, port, addresses } in answers {
            let asked = fleet::Endpoint { id: endpoint, host, port };
            match addresses {
                Ok(addresses) => self.fleet.handle_resolved(now, &asked, &addresses),
                Err(_unresolved) => self.fleet.handle_resolve_failed(now, &asked),
            }
        }
        happened
    }

    fn resolve(&self, endpoint: EndpointId) {
        // Where it is gone nobody waits for the answer.
        if let Some(known) = self.fleet.endpoint(endpoint) {
            self.resolver.request(endpoint, &known.host, known.port);
        }
    }

    fn connect(&mut self, now: Moment, lane: LaneId, target: Target) {
        let index = lane.0 as usize;
        let connected = self.open(target).and_then(|mut socket| {
            self.poller.register(&mut socket, index)?;
            Ok(Connection::new(target, self.credentials.generation, socket))
        });
        match connected {
            Ok(connection) => {
                if self.connections.len() <= index {
                    self.connections.resize_with(index + 1, || None);
                }
                self.connections[index] = Some(connection);
            }
            Err(refused) => {
                self.tally.note_failure(target.address, refused.to_string());
                self.fleet.handle_connecting_failed(now, lane);
            }
        }
    }

    /// Closes a lane's connection; what was on it is to be sent again.
    pub(super) fn close(&mut self, now: Moment, lane: LaneId, is_clean: bool) {
        if is_clean && let Some(connection) = self.connection(lane) {
            connection.socket().close();
        }
        self.drop_connection(lane);
        let tokens = self.fleet.handle_closed(now, lane, is_clean);
        self.return_batches(now, &tokens);
    }

    fn drop_connection(&mut self, lane: LaneId) {
        let slot = self.connections.get_mut(lane.0 as usize);
        if let Some(mut connection) = slot.and_then(Option::take) {
            // Closing the descriptor below deregisters it as well; a failure changes nothing.
            let _closed_anyway = self.poller.deregister(connection.socket());
        }
    }

    pub(super) fn connection(&mut self, lane: LaneId) -> Option<&mut Connection> {
        self.connections.get_mut(lane.0 as usize)?.as_mut()
    }

    pub(super) fn handle_ready(&mut self, now: Moment, index: usize, readable: bool) {
        let lane = LaneId(index as u32);
        let Some(connection) = self.connection(lane) else { return };
        if connection.session().is_none() {
            match connection.is_connected() {
                Ok(true) => self.start_session(now, lane),
                Ok(false) => return,
                Err(refused) => {
                    let address = connection.target.address;
                    self.tally.note_failure(address, refused.to_string());
                    self.drop_connection(lane);
                    self.fleet.handle_connecting_failed(now, lane);
                    // Somebody else may lead its partitions by now.
                    self.inquiry.refresh();
                    return;
                }
            }
        }
        if readable {
            self.read(now, lane);
        }
    }

    fn start_session(&mut self, now: Moment, lane: LaneId) {
        self.fleet.handle_connected(now, lane);
        let started = self.session_options().and_then(|options| Ok(Session::new(options, now)?));
        match started {
            Ok(session) => {
                if let Some(connection) = self.connection(lane) {
                    connection.start(session);
                }
            }
            Err(refused) => self.fail(now, lane, &refused),
        }
    }

    fn read(&mut self, now: Moment, lane: LaneId) {
        let slot = self.connections.get_mut(lane.0 as usize);
        let Some(connection) = slot.and_then(Option::as_mut) else { return };
        let outcome = connection.read(now, &mut self.read_buffer);
        // What was answered before a failure counts.
        while let Some(event) = self.connection(lane).and_then(Connection::poll_event) {
            self.handle_event(now, lane, event);
        }
        match outcome {
            Ok(true) => self.fleet.handle_progress(now, lane),
            Ok(false) => {}
            Err(failed) => self.fail(now, lane, &failed),
        }
    }

    pub(super) fn write_all(&mut self, now: Moment) -> bool {
        let mut happened = false;
        for index in 0..self.connections.len() {
            let lane = LaneId(index as u32);
            let flights = &self.flights;
            let payload_of = |token| flights.get(token).map(Flight::payload);
            let Some(connection) = self.connections[index].as_mut() else { continue };
            if let Err(failed) = connection.write(payload_of) {
                self.fail(now, lane, &failed);
                happened = true;
                continue;
            }
            while let Some(event) = self.connection(lane).and_then(Connection::poll_event) {
                self.handle_event(now, lane, event);
                happened = true;
            }
        }
        happened
    }

    pub(super) fn check_sessions(&mut self, now: Moment) {
        for index in 0..self.connections.len() {
            let Some(connection) = self.connections[index].as_mut() else { continue };
            let checked = connection.session().map(|session| session.handle_timeout(now));
            if let Some(Err(overdue)) = checked {
                self.fail(now, LaneId(index as u32), &overdue.into());
            }
        }
    }

    /// A connection failed: its lane is closed; the fleet counts it and ejects the receiver for a while.
    fn fail(&mut self, now: Moment, lane: LaneId, reason: &ConnectionError) {
        if let Some(connection) = self.connection(lane) {
            let address = connection.target.address;
            self.tally.note_failure(address, reason.to_string());
        }
        self.close(now, lane, false);
    }
}
