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

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Codec;
use crate::clock::Clock;
use crate::config::Acks;
use crate::config::Settings;
use crate::config::SpoolOrder;
use crate::config::TargetMode;
use crate::ids::Moment;
use crate::pipeline::credentials::Watch;
use crate::pipeline::dead_letters::DeadLetters;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::placement::Placement;
use crate::proto::fleet;
use crate::proto::fleet::Fleet;
use crate::ring::Arena;
use crate::stats::Counters;
use crate::transport::Poller;
use crate::transport::Resolver;

mod announce;
mod bind;
mod cluster;
mod connection;
mod dispatch;
mod division;
mod flights;
mod gone;
mod hosts;
mod lanes;
mod open;
mod outcome;
mod parked;
mod parts;
mod payload;
mod quota;
mod report;
mod spaces;

use announce::Announcer;
use cluster::Inquiry;
use connection::Connection;
use flights::Flights;
use flights::FreshFirst;
use flights::OWN;
use hosts::Hosts;
use parked::Parked;
pub(super) use payload::Payload;
use spaces::Producer;
use spaces::Spaces;

/// Pause before metadata or a producer id is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// How often the disk is looked after while it is in trouble.
const TEND_INTERVAL: Duration = Duration::from_millis(250);

/// Rounds of work between two looks at the sockets.
const PASSES_MAX: u32 = 16;

/// What a sender is made of.
pub struct Parts {
    /// Our own spool.
    pub own: Source,
    /// Our own rings, which outlive us; a relay has none.
    pub arena: Option<Arc<Arena>>,
    /// What is learned of topics.
    pub placement: Arc<Placement>,
    /// The checked configuration.
    pub settings: Arc<Settings>,
    /// The clock.
    pub clock: Clock,
    /// Readiness; its waker is known to the batcher.
    pub poller: Poller,
    /// Whom we trust and who we are.
    pub credentials: Watch,
    /// Flush requests.
    pub gate: Arc<Gate>,
    /// Flags and adopted spools.
    pub handover: Arc<Handover>,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// Takes events.
    pub notifier: Notifier,
    /// Who divides a batch of our own that is refused for what it is.
    pub refusals: Refusals,
}

/// Who divides a batch that is refused for what it is, down to the guilty records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// We do; the rest of it is delivered.
    Divided,
    /// Whoever gave it to us and waits for the answer: nothing of it is delivered.
    Returned,
}

impl Refusals {
    /// Whether a batch of this source goes back as a whole; what the dead left nobody waits for.
    fn returns(self, source: usize) -> bool {
        self == Self::Returned && source == flights::OWN
    }
}

/// See the module's head.
pub struct Sender {
    arena: Option<Arc<Arena>>,
    placement: Arc<Placement>,
    settings: Arc<Settings>,
    clock: Clock,
    poller: Poller,
    resolver: Resolver,
    credentials: Watch,
    gate: Arc<Gate>,
    handover: Arc<Handover>,
    counters: Arc<Counters>,
    refusals: Refusals,
    /// Of the random choices.
    seed: u64,
    hosts: Hosts,
    endpoints: Vec<fleet::Endpoint>,
    fleet: Fleet,
    connections: Vec<Option<Connection>>,
    flights: Flights,
    spaces: Spaces,
    tally: report::Tally,
    announcer: Announcer,
    parked: Parked,
    dead_letters: DeadLetters,
    /// Codecs that the cluster does not take.
    refused_codecs: HashSet<Codec>,
    inquiry: Inquiry,
    resolved_at: Option<Moment>,
    /// When the disk was looked after last.
    tended_at: Option<Moment>,
    /// What was read from a connection last; kept, so that it is not zeroed for each read.
    read_buffer: Vec<u8>,
    is_running: bool,
}

impl Sender {
    /// A sender; to be run in one thread.
    pub fn new(parts: Parts) -> Self {
        let Parts { own, placement, settings, clock, poller, credentials, gate, handover, .. } =
            parts;
        let Parts { arena, counters, notifier, refusals, .. } = parts;
        let seed = u64::from_le_bytes(own.slot.instance().0[..8].try_into().unwrap_or_default());
        let hosts = Hosts::new(&settings);
        let endpoints = hosts.endpoints();
        let is_idempotent = settings.session.idempotence && settings.session.acks == Acks::All;
        let window = settings.fleet.lane_batches_in_flight_max as usize;
        let now = clock.moment();
        let resolver = Resolver::new(poller.waker());
        let order = match settings.spool.order {
            SpoolOrder::Strict => None,
            SpoolOrder::FreshFirst => Some(FreshFirst::new(settings.spool.backlog_share)),
        };
        let slot_dir = own.slot.spool_dir();
        let application_dir = slot_dir.parent().unwrap_or(slot_dir);
        let dead_letters = DeadLetters::new(application_dir, settings.spool.dead_letters_bytes_max);
        Self {
            arena,
            fleet: Fleet::new(now, fleet_options(&settings), seed),
            spaces: Spaces::new(settings.target.mode, window, is_idempotent),
            inquiry: Inquiry::new(settings.target.mode),
            placement,
            settings,
            clock,
            poller,
            resolver,
            credentials,
            gate,
            handover,
            counters,
            refusals,
            seed,
            hosts,
            endpoints,
            connections: Vec::new(),
            flights: Flights::new(own, order),
            tally: report::Tally::default(),
            announcer: Announcer::new(notifier),
            parked: Parked::default(),
            dead_letters,
            refused_codecs: HashSet::new(),
            resolved_at: None,
            tended_at: None,
            read_buffer: vec![0; lanes::READ_BYTES],
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
        self.hosts.start(&self.settings, self.poller.waker());
        self.set_endpoints(now);
        while !self.handover.sender_stops() {
            if self.step().is_err() {
                // The poller itself failed, for lack of memory. Try again, never spin.
                std::thread::sleep(ASK_AGAIN);
            }
        }
        self.connections.iter_mut().flatten().for_each(|connection| connection.socket().close());
        self.connections.clear();
        self.report();
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
        self.return_batches(now, &self.flights.tokens());
        self.inquiry = Inquiry::new(self.settings.target.mode);
    }

    fn step(&mut self) -> io::Result<()> {
        let now = self.clock.moment();
        // Asked before the take: the figures of this round then include all that was adopted.
        self.tally.adoption_seen |= self.handover.adoption_done();
        for source in self.handover.take() {
            self.flights.adopt(source);
        }
        if self.handover.take_space_wanted() {
            self.make_space();
        }
        self.fleet.handle_timeout(now);
        self.check_sessions(now);
        self.check_credentials(now);
        self.take_hosts(now);
        self.resolve_again(now);
        self.ask_cluster(now);
        let is_settled = self.settle_all(now);
        self.remove_drained();
        self.tend_disk(now);
        self.report();
        let timeout =
            if is_settled { self.timeout(self.clock.moment()) } else { Some(Duration::ZERO) };
        let mut ready = Vec::new();
        self.poller.wait(timeout, |event| ready.push(event))?;
        let now = self.clock.moment();
        for event in ready {
            self.handle_ready(now, event.index, event.readable);
        }
        Ok(())
    }

    /// Dispatches, writes and acts until nothing happens any more: readiness is edge-triggered, so whatever
    /// can be sent now must be sent before the next wait. False where there is still more to do.
    fn settle_all(&mut self, now: Moment) -> bool {
        for _ in 0..PASSES_MAX {
            self.dispatch(now);
            let was_written = self.write_all(now);
            if !(self.act(now) || was_written) {
                return true;
            }
        }
        false
    }

    /// Looks all names up again when it is time: addresses come and go while lanes stand.
    fn resolve_again(&mut self, now: Moment) {
        let interval = self.settings.transport.resolve_interval;
        let resolved_at = *self.resolved_at.get_or_insert(now);
        if now.since(resolved_at) >= interval {
            self.resolved_at = Some(now);
            self.hosts.start(&self.settings, self.poller.waker());
            for endpoint in &self.endpoints {
                self.resolver.request(endpoint.id, &endpoint.host, endpoint.port);
            }
        }
    }

    /// After trouble with the disk: makes the spool's directory where it is missing, and moves to the disk what had
    /// to stay in memory.
    fn tend_disk(&mut self, now: Moment) {
        if self.tended_at.is_some_and(|at| now.since(at) < TEND_INTERVAL) {
            return;
        }
        let Some(own) = self.flights.source(OWN) else { return };
        if !own.reader.is_settled() {
            self.tended_at = Some(now);
            own.slot.tend();
            own.reader.tend();
        }
    }

    fn remove_drained(&mut self) {
        self.note_troubles();
        self.counters.batch.spool_errors.add(self.flights.discard_free());
        for index in self.flights.drained() {
            let source = self.flights.take_source(index);
            if source.is_some_and(|source| source.remove_drained().is_err()) {
                self.counters.batch.spool_errors.add(1);
            }
            self.handover.note_adopted_removed();
        }
    }

    /// When the loop has to look again, without an event.
    fn timeout(&mut self, now: Moment) -> Option<Duration> {
        let sessions = self.connections.iter_mut().flatten().filter_map(|connection| {
            connection.session().and_then(|session| session.poll_timeout())
        });
        let earliest = sessions.chain(self.fleet.poll_timeout()).min();
        let resend = self.spaces.ids().filter_map(|id| self.spaces.get(id).resend_at).min();
        let asks = self.inquiry_timeout(now);
        let interval = self.settings.transport.resolve_interval;
        let resolve = self.resolved_at.map(|at| at.after(interval));
        let own = self.flights.source(OWN);
        let tend = own.filter(|own| !own.reader.is_settled()).map(|_| now.after(TEND_INTERVAL));
        let credentials = self.credentials.poll_timeout();
        let aside = self.parked.poll_timeout();
        let all = [earliest, resend, asks, resolve, credentials, tend, aside];
        all.into_iter().flatten().min().map(|at| {
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
