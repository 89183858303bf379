//! The batcher's loop: rings to slices, slices to groups, groups to the spool.
//!
//! Owns the consumer's side of the rings and the writer's side of the spool. It polls and lags on purpose: a consumer
//! that chases its producers makes their calls ten times slower. The order of a commit is fixed (I3): the
//! group is committed, then the rings' space is released, then the sender may see the group.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Calibration;
use crate::clock::Clock;
use crate::config::BatchSettings;
use crate::ids::Moment;
use crate::pipeline::batcher::flush::FlushMark;
use crate::pipeline::commit::commit;
use crate::pipeline::encode::SealedGroup;
use crate::pipeline::encode::Ticket;
use crate::pipeline::fullness::Fullness;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::placement::Placement;
use crate::pipeline::pressure::Pressure;
use crate::pipeline::workers::Workers;
use crate::ring::Arena;
use crate::ring::Consumer;
use crate::ring::Slice;
use crate::ring::consumer::Limits;
use crate::spool;
use crate::spool::CommitError;
use crate::stats::Counters;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::transport::Waker;

mod flush;

/// From this share of the arena on, open batches are sealed whatever their age and size.
const PRESSURE: f64 = 0.8;
/// Below this share of the arena there is ample room.
const ROOMY: f64 = 0.125;
/// How often the rings are looked at within one linger while there is.
const LOOKS_PER_LINGER: u32 = 4;
/// A slice below this frees too little to be sealed for that reason.
const PRESSURE_BYTES_MIN: usize = 64 * 1024;
/// Chunks that are populated ahead per round: 1 MiB.
const POPULATE_CHUNKS: u32 = 64;
/// How often the time anchor in the arena is renewed.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(1);
/// How often losses are reported at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What the batcher shares with other threads.
#[derive(Clone)]
pub struct Links {
    /// Flush requests.
    pub gate: Arc<Gate>,
    /// Flags and adopted spools.
    pub handover: Arc<Handover>,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// Wakes the sender.
    pub sender: Waker,
    /// Tells the application what happens.
    pub notifier: Notifier,
}

/// See the module's head.
pub struct Batcher {
    arena: Arc<Arena>,
    consumer: Consumer,
    writer: spool::Writer,
    workers: Workers,
    links: Links,
    fullness: Fullness,
    clock: Clock,
    settings: Arc<BatchSettings>,
    placement: Arc<Placement>,
    pressure: Pressure,
    slice: Slice,
    spare_slices: Vec<Slice>,
    calibration: Calibration,
    anchored_at: Option<Moment>,
    reported_at: Option<Moment>,
    next_ticket: u64,
    next_record: u64,
    last_batch: Option<u64>,
    /// Names of the streams, as the arena had them last.
    topics: Vec<String>,
    /// Groups committed so far; their tickets have the numbers below.
    committed_tickets: u64,
    served: u64,
    flush: Option<FlushMark>,
    /// A group that the spool had no room for.
    blocked: Option<SealedGroup>,
    pause: Duration,
    /// Free chunks when the round began.
    free_before: u32,
}

/// The parts that a batcher is made of.
pub struct Parts {
    /// The rings.
    pub arena: Arc<Arena>,
    /// The spool.
    pub writer: spool::Writer,
    /// The encoders.
    pub workers: Workers,
    /// What is shared.
    pub links: Links,
    /// The clock.
    pub clock: Clock,
    /// Batch settings.
    pub settings: Arc<BatchSettings>,
    /// Where keyed records go, in Kafka mode.
    pub placement: Arc<Placement>,
    /// What a full spool means.
    pub pressure: Pressure,
}

impl Batcher {
    /// A batcher over a fresh spool; to be run in one thread.
    pub fn new(parts: Parts) -> Self {
        let Parts { arena, writer, workers, links, clock, settings, placement, pressure } = parts;
        let pause = settings.poll_busy;
        Self {
            consumer: Consumer::new(arena.clone()),
            calibration: clock.calibrate(),
            arena,
            writer,
            workers,
            fullness: Fullness::new(links.notifier.clone()),
            links,
            clock,
            settings,
            placement,
            pressure,
            slice: Slice::default(),
            spare_slices: Vec::new(),
            anchored_at: None,
            reported_at: None,
            next_ticket: 0,
            next_record: 0,
            last_batch: None,
            topics: Vec::new(),
            committed_tickets: 0,
            served: 0,
            flush: None,
            blocked: None,
            pause,
            free_before: 0,
        }
    }

    /// To be called first, by the thread that will call [`Batcher::step`].
    pub fn begin(&mut self) {
        self.arena.set_consumer_thread(std::thread::current());
        self.note_topics();
        self.workers.begin();
    }

    /// Gives the spool's writer back, after the thread has ended, and says whether the rings are empty. Where records
    /// were left there, for lack of room or because they came at the last moment, the slot must outlive them, however
    /// far its spool is delivered.
    pub fn into_writer(mut self) -> (spool::Writer, bool) {
        (self.writer, self.blocked.is_none() && self.consumer.is_drained())
    }

    /// One round; true when the batcher may end: it was told to stop, and everything accepted is committed as
    /// far as the spool has room. It does not sleep where its thread `is_busy` with other work.
    pub fn step(&mut self, is_busy: bool) -> bool {
        let request = self.links.gate.requested();
        let stops = self.links.handover.batcher_stops();
        if request > self.served && self.flush.is_none() {
            self.flush = Some(FlushMark::new(request, self.consumer.tails()));
        }
        let is_urgent = self.flush.is_some() || stops;
        self.free_before = self.arena.free_chunks();
        let committed = self.commit_ready();
        if stops && self.blocked.is_some() {
            // Waiting for room may take for ever. What is not committed is still in the rings.
            self.count_waiting();
            return true;
        }
        let mut more = false;
        let reports_losses = self.reports_losses(is_urgent);
        let can_drain = self.workers.has_room() && self.blocked.is_none();
        if can_drain {
            more = self.drain();
            if reports_losses {
                self.report_losses();
            }
            if self.is_due(more, is_urgent || reports_losses) {
                self.submit();
                self.commit_ready();
            }
        }
        self.serve_flush();
        let is_empty = can_drain && !more && self.slice.is_empty();
        if stops && is_empty && self.workers.is_idle() && self.blocked.is_none() {
            return true;
        }
        self.housekeep();
        if !is_busy && (!(committed || more) || self.blocked.is_some()) {
            self.sleep();
        }
        false
    }

    fn drain(&mut self) -> bool {
        let before = self.slice.records();
        let limits =
            Limits { bytes: self.workers.slice_bytes(), records: self.settings.records_max };
        let more = self.consumer.drain(&mut self.slice, limits);
        let drained = self.slice.records() - before;
        if drained > 0 {
            self.links.counters.batch.drained.add(u64::from(drained));
            // Each look at a ring costs its producer a cache miss: while there is ample room, a few looks
            // per linger will do; producers wake us should that change within a pause.
            let is_roomy = self.arena.used_share() < ROOMY;
            self.pause = self.settings.poll_busy;
            if is_roomy {
                self.pause = self.pause.max(self.settings.linger / LOOKS_PER_LINGER);
            }
        }
        more
    }

    /// Whether the open slice is to be sealed: by size, count, age, pressure or request.
    fn is_due(&self, more: bool, is_urgent: bool) -> bool {
        if self.slice.is_empty() {
            return false;
        }
        more || is_urgent
            || self.slice.bytes() >= self.workers.slice_bytes()
            || self.slice.records() >= self.settings.records_max
            || self.age() >= self.settings.linger
            || (self.arena.used_share() >= PRESSURE && self.slice.bytes() >= PRESSURE_BYTES_MIN)
    }

    /// Whether the open slice is to carry news of losses: at most once per interval, since in an outage
    /// there are ever more of them, and each report takes space too.
    fn reports_losses(&mut self, is_urgent: bool) -> bool {
        let is_due = is_urgent
            || self.reported_at.is_none_or(|at| self.clock.moment().since(at) >= REPORT_INTERVAL);
        is_due && self.links.handover.losses().is_news()
    }

    fn report_losses(&mut self) {
        let batch = &self.links.counters.batch;
        let number = batch.next_number(self.writer.next_record());
        let mut losses = self.links.handover.losses();
        batch.note_reports(losses.report(&mut self.slice, self.clock.ticks(), number));
        self.reported_at = Some(self.clock.moment());
    }

    /// How long ago the slice's first record was logged.
    fn age(&self) -> Duration {
        let Some(ticks) = self.slice.oldest_ticks() else { return Duration::ZERO };
        let now = self.calibration.wall_nanos_of(self.clock.ticks());
        Duration::from_nanos(now.saturating_sub(self.calibration.wall_nanos_of(ticks)))
    }

    fn submit(&mut self) {
        self.consumer.seal(&mut self.slice);
        self.calibration = self.clock.calibrate();
        let ticket = Ticket {
            number: self.next_ticket,
            first_record: self.next_record,
            calibration: self.calibration,
        };
        self.next_ticket += 1;
        self.next_record += u64::from(self.slice.records());
        let spare = self.spare_slices.pop().unwrap_or_default();
        self.workers.submit(std::mem::replace(&mut self.slice, spare), ticket);
    }

    /// Commits groups in ticket order as far as they are ready; true where one was.
    fn commit_ready(&mut self) -> bool {
        let mut committed = false;
        if let Some(group) = self.blocked.take() {
            if !self.commit(group) {
                return false;
            }
            committed = true;
        }
        while self.blocked.is_none()
            && let Some(mut done) = self.workers.take()
        {
            done.slice.clear();
            self.spare_slices.push(done.slice);
            committed |= self.commit(done.group);
        }
        committed
    }

    fn note_topics(&mut self) {
        let topics = self.arena.streams();
        if !self.arena.is_lost() {
            self.topics = topics;
        }
    }

    /// Commits one group; false where the spool has no room and the group waits.
    fn commit(&mut self, group: SealedGroup) -> bool {
        self.note_topics();
        let counters = &self.links.counters.batch;
        match commit(&mut self.writer, &group, &self.topics) {
            Ok(()) => self.pressure.note_committed(),
            Err(error) => {
                // The records stay where they are; the rings fill, and `ring.full` decides.
                self.pressure.note_refused(&error);
                if let CommitError::Full { .. } = error {
                    counters.spool_full.add(1);
                    self.fullness.note_full(self.clock.moment());
                    if self.pressure.drops_oldest() {
                        self.links.handover.want_space();
                        self.links.sender.wake();
                    }
                } else {
                    counters.spool_errors.add(1);
                }
                self.blocked = Some(group);
                return false;
            }
        }
        self.committed_tickets += 1;
        // Before the rings let go: what a crash takes with the memory it was in can be counted then.
        self.arena.store_numbered(self.writer.next_record());
        self.consumer.release(group.positions());
        self.consumer.reclaim_closed();
        crash_point(Point::RingsReleased);
        self.writer.publish();
        crash_point(Point::GroupPublished);
        self.links.sender.wake();
        counters.groups.add(1);
        counters.committed.add(group.records);
        counters.bytes_in.add(group.bytes_in);
        counters.bytes_out.add(group.bytes_out);
        counters.malformed.add(group.malformed);
        self.last_batch = group.last_batch().or(self.last_batch);
        self.workers.recycle(group);
        true
    }

    /// What keeps the call path and the commit free of page faults, and recovery exact.
    fn housekeep(&mut self) {
        let now = self.clock.moment();
        self.pressure.look(now, &mut self.writer, self.blocked.is_some());
        self.count_waiting();
        self.writer.prepare(now);
        self.arena.populate_ahead(POPULATE_CHUNKS);
        if self.blocked.is_none() {
            self.fullness.note_room(now);
        }
        if self.writer.sync_due(now).is_err() {
            // What was committed since the last sync may not survive a power cut; it does survive us.
            self.links.counters.batch.spool_errors.add(1);
        }
        let is_due = |at: Moment| now.since(at) >= ANCHOR_INTERVAL;
        if self.anchored_at.is_none_or(is_due) {
            self.anchored_at = Some(now);
            self.calibration = self.clock.calibrate();
            let Calibration { ticks, wall_nanos, nanos_per_tick } = self.calibration;
            self.arena.store_time_anchor([ticks, wall_nanos, nanos_per_tick]);
        }
        let placement = &self.placement;
        if placement.take_news() || self.anchored_at == Some(now) {
            // Once a second too: streams come up.
            placement.spread(&self.arena.streams());
        }
    }

    /// Says how many accepted records are in the rings, where they cannot be drained; else they soon are.
    fn count_waiting(&mut self) {
        let is_stuck = self.blocked.is_some() || !self.workers.has_room();
        let waiting = if is_stuck { self.consumer.waiting_records() } else { 0 };
        self.links.counters.batch.waiting.set(waiting);
    }

    /// Sleeps until there may be something to do. Where the rings cannot be drained, because the spool or all
    /// workers are busy, a fuller arena changes nothing: then only the pause, a worker or a flush ends the sleep.
    fn sleep(&mut self) {
        let mut pause = self.pause;
        if self.blocked.is_some() {
            pause = self.pressure.pause();
        } else if !self.slice.is_empty() {
            pause = pause.min(self.settings.linger.saturating_sub(self.age()));
        }
        if self.blocked.is_some() || !self.workers.has_room() {
            std::thread::park_timeout(pause);
            return;
        }
        if self.arena.set_consumer_sleeps(true, self.free_before) {
            std::thread::park_timeout(pause);
        }
        self.arena.set_consumer_sleeps(false, 0);
        self.pause = (self.pause * 2).min(self.settings.poll_idle);
    }
}
