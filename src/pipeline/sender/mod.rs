//! The sender's loop: spools to lanes, outcomes back to spools.
//!
//! ```text
//! spool::Reader --Frame--> dispatch --binding--> Connection --bytes--> receiver
//!       ^                     |  ask: which lane?      |
//!       '--resolve-- outcome  '-- Fleet, Spaces        '--Event--> outcome
//! ```
//!
//! One thread owns all of it. Every decision about connections is the fleet's, every one about sequence numbers
//! the spaces', every one about bytes the session's; this module carries them out. A binding is stored
//! before the first byte of its batch is sent, and a retry sends the same bytes (I4).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Acks;
use crate::config::Settings;
use crate::config::TargetMode;
use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::proto::fleet;
use crate::proto::fleet::Action;
use crate::proto::fleet::Fleet;
use crate::proto::fleet::Target;
use crate::proto::kafka::client;
use crate::proto::kafka::client::Session;
use crate::proto::kafka::client::SessionOptions;
use crate::stats::Counters;
use crate::transport::Poller;
use crate::transport::Resolver;
use crate::transport::Socket;
use crate::transport::SocketOptions;

mod connection;
mod dispatch;
mod flights;
mod outcome;
mod quota;
mod report;
mod spaces;

use connection::Connection;
use connection::ConnectionError;
use flights::Flights;
use flights::OWN;
use spaces::Producer;
use spaces::Spaces;
use spaces::host_endpoint;

/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 * 1024;
/// Largest response that is accepted: metadata of a cluster with many thousand partitions.
const RESPONSE_BYTES_MAX: u32 = 16 << 20;
/// Pause before metadata or a producer id is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// What a sender is made of.
pub struct Parts {
    /// Our own spool.
    pub own: Source,
    /// The checked configuration.
    pub settings: Arc<Settings>,
    /// The clock.
    pub clock: Clock,
    /// Readiness; its waker is known to the batcher.
    pub poller: Poller,
    /// Flush requests.
    pub gate: Arc<Gate>,
    /// Flags and adopted spools.
    pub handover: Arc<Handover>,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// Seed of the random choices.
    pub seed: u64,
}

/// See the module's head.
pub struct Sender {
    settings: Arc<Settings>,
    clock: Clock,
    poller: Poller,
    resolver: Resolver,
    gate: Arc<Gate>,
    handover: Arc<Handover>,
    counters: Arc<Counters>,
    seed: u64,
    endpoints: Vec<fleet::Endpoint>,
    fleet: Fleet,
    connections: Vec<Option<Connection>>,
    flights: Flights,
    spaces: Spaces,
    tally: report::Tally,
    metadata_at: Option<Moment>,
    asked_metadata_at: Option<Moment>,
    asked_producer_at: Option<Moment>,
    is_running: bool,
}

impl Sender {
    /// A sender; to be run in one thread.
    pub fn new(parts: Parts) -> Self {
        let Parts { own, settings, clock, poller, gate, handover, counters, seed } = parts;
        let endpoints: Vec<_> = settings
            .target
            .hosts
            .iter()
            .enumerate()
            .map(|(index, (host, port))| fleet::Endpoint {
                id: host_endpoint(index),
                host: host.clone(),
                port: *port,
            })
            .collect();
        let is_idempotent = settings.session.idempotence && settings.session.acks == Acks::All;
        let window = settings.fleet.lane_batches_in_flight_max as usize;
        let now = clock.moment();
        let resolver = Resolver::new(poller.waker());
        Self {
            fleet: Fleet::new(now, fleet_options(&settings), seed),
            spaces: Spaces::new(settings.target.mode, window, is_idempotent),
            settings,
            clock,
            poller,
            resolver,
            gate,
            handover,
            counters,
            seed,
            endpoints,
            connections: Vec::new(),
            flights: Flights::new(own),
            tally: report::Tally::default(),
            metadata_at: None,
            asked_metadata_at: None,
            asked_producer_at: None,
            is_running: false,
        }
    }

    /// Works until it is told to stop. Called again after a panic, it starts over with fresh connections;
    /// what was on its way is sent again under the same binding.
    pub fn run(&mut self) {
        if self.is_running {
            self.start_over();
        }
        self.is_running = true;
        let now = self.clock.moment();
        // The URL's hosts are distinct and fewer than the fleet's limit: the configuration checked that.
        let _checked = self.fleet.set_endpoints(now, &self.endpoints);
        while !self.handover.sender_stops() {
            if let Err(error) = self.step() {
                // The poller itself failed: without descriptors or memory. Try again, never spin.
                drop(error);
                std::thread::sleep(ASK_AGAIN);
            }
        }
        self.connections.iter_mut().for_each(|connection| *connection = None);
        self.report(self.clock.moment());
    }

    /// Takes our own spool back, after the thread has ended.
    pub fn into_own(mut self) -> Option<Source> {
        self.flights.take_source(OWN)
    }

    /// After a panic: fresh connections, everything on its way waits to be sent again.
    fn start_over(&mut self) {
        let now = self.clock.moment();
        self.connections.clear();
        self.seed = self.seed.wrapping_add(1);
        self.fleet = Fleet::new(now, fleet_options(&self.settings), self.seed);
        self.flights.ground_all();
        self.asked_metadata_at = None;
        self.asked_producer_at = None;
    }

    fn step(&mut self) -> io::Result<()> {
        let now = self.clock.moment();
        for source in self.handover.take() {
            self.flights.adopt(source);
        }
        if self.handover.take_space_wanted() {
            self.make_space();
        }
        self.fleet.handle_timeout(now);
        self.check_sessions(now);
        self.ask_cluster(now);
        self.dispatch(now);
        self.write_all(now);
        self.act(now);
        self.remove_drained();
        self.report(now);
        let timeout = self.timeout(self.clock.moment());
        let mut ready = Vec::new();
        self.poller.wait(timeout, |event| ready.push(event))?;
        let now = self.clock.moment();
        for event in ready {
            self.handle_ready(now, event.index, event.readable);
        }
        for answer in self.resolver.answers() {
            match answer.addresses {
                Ok(addresses) => self.fleet.handle_resolved(now, answer.endpoint, &addresses),
                Err(_unresolved) => self.fleet.handle_resolve_failed(now, answer.endpoint),
            }
        }
        Ok(())
    }

    /// Carries out what the fleet decided.
    fn act(&mut self, now: Moment) {
        while let Some(action) = self.fleet.poll_action() {
            match action {
                Action::Resolve(endpoint) => self.resolve(now, endpoint),
                Action::Connect { lane, target } => self.connect(now, lane, target),
                Action::Close { lane, reason } => {
                    self.tally.count_close(reason);
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
            self.write_all(now);
        }
        // Literal addresses are answered at once.
        for answer in self.resolver.answers() {
            if let Ok(addresses) = answer.addresses {
                self.fleet.handle_resolved(now, answer.endpoint, &addresses);
            }
            self.act(now);
        }
    }

    fn resolve(&mut self, now: Moment, endpoint: EndpointId) {
        match self.endpoints.iter().find(|known| known.id == endpoint) {
            Some(known) => self.resolver.request(endpoint, &known.host, known.port),
            None => self.fleet.handle_resolve_failed(now, endpoint),
        }
    }

    fn connect(&mut self, now: Moment, lane: LaneId, target: Target) {
        let options = SocketOptions { user_timeout: self.settings.transport.tcp_user_timeout };
        let index = lane.0 as usize;
        let connected = Socket::connect(target.address, &options).and_then(|mut socket| {
            self.poller.register(&mut socket, index)?;
            Ok(Connection::new(target, socket))
        });
        match connected {
            Ok(connection) => {
                if self.connections.len() <= index {
                    self.connections.resize_with(index + 1, || None);
                }
                self.connections[index] = Some(connection);
            }
            Err(_refused) => self.fleet.handle_connecting_failed(now, lane),
        }
    }

    /// Closes a lane's connection; what was on it is to be sent again.
    fn close(&mut self, now: Moment, lane: LaneId, is_clean: bool) {
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

    fn connection(&mut self, lane: LaneId) -> Option<&mut Connection> {
        self.connections.get_mut(lane.0 as usize)?.as_mut()
    }

    fn handle_ready(&mut self, now: Moment, index: usize, readable: bool) {
        let lane = LaneId(index as u32);
        let Some(connection) = self.connection(lane) else { return };
        if connection.session().is_none() {
            match connection.is_connected() {
                Ok(true) => self.start_session(now, lane),
                Ok(false) => return,
                Err(_refused) => {
                    self.drop_connection(lane);
                    self.fleet.handle_connecting_failed(now, lane);
                    return;
                }
            }
        }
        if readable {
            self.read(now, lane);
        }
    }

    fn start_session(&mut self, now: Moment, lane: LaneId) {
        let options = SessionOptions {
            client_id: self.settings.session.client_id.clone(),
            acks: match self.settings.session.acks {
                Acks::All => client::Acks::All,
                Acks::Leader => client::Acks::Leader,
                Acks::None => client::Acks::None,
            },
            request_timeout: self.settings.session.request_timeout,
            frame_bytes_max: RESPONSE_BYTES_MAX,
        };
        self.fleet.handle_connected(now, lane);
        match Session::new(options, now) {
            Ok(session) => {
                if let Some(connection) = self.connection(lane) {
                    connection.start(session);
                }
            }
            // The client id is too long; the configuration's limit is far below that.
            Err(_too_long) => self.close(now, lane, false),
        }
    }

    fn read(&mut self, now: Moment, lane: LaneId) {
        let mut buffer = [0; READ_BYTES];
        let Some(connection) = self.connection(lane) else { return };
        let outcome = connection.read(now, &mut buffer);
        // What was answered before a failure counts.
        while let Some(event) = self.connection(lane).and_then(Connection::poll_event) {
            self.handle_event(now, lane, event);
        }
        match outcome {
            Ok(true) => self.fleet.handle_progress(now, lane),
            Ok(false) => {}
            Err(error) => self.fail(now, lane, &error),
        }
    }

    fn write_all(&mut self, now: Moment) {
        for index in 0..self.connections.len() {
            let lane = LaneId(index as u32);
            let flights = &self.flights;
            let frame_of = |token| flights.get(token).map(|flight| flight.frame.clone());
            let Some(connection) = self.connections[index].as_mut() else { continue };
            if let Err(error) = connection.write(frame_of) {
                self.fail(now, lane, &error);
                continue;
            }
            while let Some(event) = self.connection(lane).and_then(Connection::poll_event) {
                self.handle_event(now, lane, event);
            }
        }
    }

    fn check_sessions(&mut self, now: Moment) {
        for index in 0..self.connections.len() {
            let Some(connection) = self.connections[index].as_mut() else { continue };
            let checked = connection.session().map(|session| session.handle_timeout(now));
            if let Some(Err(error)) = checked {
                self.fail(now, LaneId(index as u32), &ConnectionError::Session(error));
            }
        }
    }

    /// A connection failed: its lane is closed, its receiver ejected for a while.
    fn fail(&mut self, now: Moment, lane: LaneId, error: &ConnectionError) {
        self.tally.note_failure(error);
        self.close(now, lane, false);
    }

    /// Asks for metadata and a producer id where they are wanted.
    fn ask_cluster(&mut self, now: Moment) {
        let is_due = |asked: Option<Moment>| asked.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        if self.spaces.producer == Producer::Wanted && is_due(self.asked_producer_at) {
            let asked = self.with_session(|session| session.request_producer_id(now).is_ok());
            if asked {
                self.asked_producer_at = Some(now);
            }
        }
        if self.settings.target.mode != TargetMode::Kafka || !is_due(self.asked_metadata_at) {
            return;
        }
        let age_max = self.settings.session.metadata_age_max;
        let is_old = self.metadata_at.is_none_or(|at| now.since(at) >= age_max);
        if is_old || !self.spaces.is_complete() {
            let topics: Vec<String> = self.spaces.topics().iter().cloned().collect();
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            let asked =
                self.with_session(|session| session.request_metadata(now, &names, true).is_ok());
            if asked {
                self.asked_metadata_at = Some(now);
            }
        }
    }

    /// Runs `ask` on the first session that is ready and for which it succeeds.
    fn with_session(&mut self, mut ask: impl FnMut(&mut Session) -> bool) -> bool {
        let mut sessions = self.connections.iter_mut().flatten().filter_map(Connection::session);
        sessions.any(|session| session.versions().is_some() && ask(session))
    }

    fn remove_drained(&mut self) {
        if !self.handover.adoption_done() {
            return;
        }
        for index in self.flights.drained() {
            if let Some(source) = self.flights.take_source(index) {
                self.tally.finish_adopted(&source);
                if source.remove_drained().is_err() {
                    self.counters.batch.spool_errors.add(1);
                }
            }
        }
    }

    /// When the loop has to look again, without an event.
    fn timeout(&mut self, now: Moment) -> Option<Duration> {
        let sessions = self.connections.iter_mut().flatten().filter_map(|connection| {
            connection.session().and_then(|session| session.poll_timeout())
        });
        let earliest = sessions.chain(self.fleet.poll_timeout()).min();
        let resend = self.spaces.ids().filter_map(|id| self.spaces.get(id).resend_at).min();
        let mut asks = None;
        if self.spaces.producer == Producer::Wanted
            || (self.settings.target.mode == TargetMode::Kafka && !self.spaces.is_complete())
        {
            asks = Some(now.after(ASK_AGAIN));
        }
        [earliest, resend, asks].into_iter().flatten().min().map(|at| {
            // A moment that has passed means at once, but never a spin: time moves by then.
            at.since(now).max(Duration::from_micros(100))
        })
    }
}

fn fleet_options(settings: &Settings) -> fleet::Options {
    let fleet = &settings.fleet;
    fleet::Options {
        lanes: fleet.lanes.map_or(0, |lanes| lanes as usize),
        lanes_max: fleet.lanes_max as usize,
        one_lane_per_endpoint: settings.target.mode == TargetMode::Kafka,
        connect_timeout: settings.transport.connect_timeout,
        concurrent_connects_max: fleet.connects_concurrent_max as usize,
        backoff_min: fleet.backoff_min,
        backoff_max: fleet.backoff_max,
        acknowledgement_deadline: settings.acknowledgement_deadline(),
        rebind_bytes: fleet.rebind_bytes,
        rebind_records: fleet.rebind_records,
        rebind_interval: fleet.rebind_interval,
        heartbeat_interval: fleet.heartbeat_interval,
        in_flight_batches_max: fleet.lane_batches_in_flight_max as usize,
        in_flight_bytes_max: fleet.lane_bytes_in_flight_max,
    }
}
