//! The state machine's shell: events in, actions out, timers. What is known of names
//! is kept by `addresses`; the decisions are in `bind`, `balance`, `rebind` and `lane_count`.
//!
//! Invariants: `now` never runs backwards; after every event `advance` has done all that is due, so
//! every timer that lies at or before `now` is spent; `Candidate::lanes` counts the settled lanes,
//! which `set_phase` alone changes.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::proto::fleet::Action;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::Options;
use crate::proto::fleet::backoff::Limits;
use crate::proto::fleet::candidate::Candidate;
use crate::proto::fleet::candidate::CandidateState;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::endpoint::Name;
use crate::proto::fleet::lane::InFlight;
use crate::proto::fleet::lane::Lane;
use crate::proto::fleet::lane::Phase;
use crate::proto::fleet::random::Random;
use crate::proto::fleet::rebind::Quota;

/// All lanes of one sender and what they may connect to. See the [module](crate::proto::fleet) for
/// the calling order and for what holds.
#[derive(Debug)]
pub struct Fleet {
    pub(super) options: Options,
    pub(super) now: Moment,
    pub(super) random: Random,
    pub(super) names: BTreeMap<EndpointId, Name>,
    pub(super) candidates: BTreeMap<Target, Candidate>,
    pub(super) lanes: Vec<Lane>,
    pub(super) actions: VecDeque<Action>,
    pub(super) is_shutting_down: bool,
}

impl Fleet {
    /// A fleet without endpoints. `seed` drives jitter and ties: give every process another one, or
    /// they will all reconnect in step.
    pub fn new(now: Moment, options: Options, seed: u64) -> Self {
        Self {
            options: options.bounded(),
            now,
            random: Random::new(seed),
            names: BTreeMap::new(),
            candidates: BTreeMap::new(),
            lanes: Vec::new(),
            actions: VecDeque::new(),
            is_shutting_down: false,
        }
    }

    /// Drains and closes all lanes, for good; over when [`Fleet::is_idle`].
    pub fn shutdown(&mut self, now: Moment) {
        self.observe(now);
        self.is_shutting_down = true;
        self.adjust_lane_count();
        self.advance();
    }

    /// The lane's connection stands; TLS and the protocol's greeting follow.
    pub fn handle_connected(&mut self, now: Moment, lane: LaneId) {
        self.observe(now);
        if let Some(index) = self.lane_index(lane)
            && let Phase::Connecting { deadline } = self.lanes[index].phase
        {
            self.set_phase(index, Phase::Handshaking { deadline });
        }
        self.advance();
    }

    /// The lane can take batches.
    pub fn handle_ready(&mut self, now: Moment, lane: LaneId) {
        self.observe(now);
        if let Some(index) = self.lane_index(lane)
            && self.lanes[index].is_connecting()
        {
            self.lanes[index].is_moving = false;
            self.lanes[index].quota = Quota::draw(self.now, &self.options, &mut self.random);
            self.lanes[index].progress(self.now);
            self.join_recent(index);
            self.set_phase(index, Phase::Ready);
        }
        self.advance();
    }

    /// The connection could not be made, or not be made ready; there is no socket any more.
    pub fn handle_connecting_failed(&mut self, now: Moment, lane: LaneId) {
        self.observe(now);
        if let Some(index) = self.lane_index(lane)
            && self.lanes[index].is_connecting()
        {
            self.note_failure(index, true);
            self.unbind(index);
        }
        self.advance();
    }

    /// The connection is closed and the socket gone, because of [`Action::Close`] or otherwise;
    /// `clean` where the other side ended it in good order. Gives back the tokens that were in
    /// flight, oldest first: their fate is unknown, and they are the driver's again.
    #[must_use = "the batches that were in flight have to be sent again"]
    pub fn handle_closed(&mut self, now: Moment, lane: LaneId, clean: bool) -> Vec<u64> {
        self.observe(now);
        let mut tokens = Vec::new();
        if let Some(index) = self.lane_index(lane) {
            match self.lanes[index].phase {
                Phase::Idle | Phase::Backoff | Phase::Resolving { .. } => {}
                Phase::Closing { .. } => tokens = self.unbind(index),
                Phase::Connecting { .. } | Phase::Handshaking { .. } => {
                    self.note_failure(index, true);
                    tokens = self.unbind(index);
                }
                Phase::Ready | Phase::Draining { .. } => {
                    // A receiver may end an idle connection without being ill.
                    let is_ill = !clean || !self.lanes[index].in_flight.is_empty();
                    self.note_failure(index, is_ill);
                    tokens = self.unbind(index);
                }
            }
        }
        self.advance();
        tokens
    }

    /// The receiver acknowledged the batch. False, and nothing is done, if it is not in flight there.
    pub fn handle_acknowledged(&mut self, now: Moment, lane: LaneId, token: u64) -> bool {
        self.observe(now);
        let now = self.now;
        let Some((index, entry)) = self.release(lane, token) else { return false };
        let InFlight { batch, since } = entry;
        let lane = &mut self.lanes[index];
        lane.backoff.reset();
        lane.latency.sample(now, now.since(since));
        lane.totals.add(batch.records, batch.bytes);
        lane.progress(now);
        if let Some(candidate) = self.candidate_of(index) {
            candidate.acknowledge(now, batch.records, batch.bytes, since);
        }
        self.advance();
        true
    }

    /// The batch left the lane without an acknowledgement while the connection stands (refused, say,
    /// or never sent). False, and nothing is done, if it is not in flight there.
    pub fn handle_returned(&mut self, now: Moment, lane: LaneId, token: u64) -> bool {
        self.observe(now);
        let Some((index, _)) = self.release(lane, token) else { return false };
        self.lanes[index].last_activity = self.now;
        self.advance();
        true
    }

    /// The receiver sent something.
    pub fn handle_progress(&mut self, now: Moment, lane: LaneId) {
        self.observe(now);
        if let Some(index) = self.lane_index(lane) {
            self.lanes[index].progress(self.now);
        }
        self.advance();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.observe(now);
        self.advance();
    }

    /// What to do next, in order; `None` when there is nothing left to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Fleet::handle_timeout`]; `None` if only an event can change anything.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let lanes = self.lanes.iter().flat_map(|lane| lane.timer(&self.options)).flatten();
        let candidates = self.candidates.values().map(|candidate| candidate.available_at);
        let names = self.names.values().filter_map(Name::timer);
        // What was due has been done or waits for an event.
        lanes.chain(candidates).chain(names).filter(|moment| *moment > self.now).min()
    }

    pub(super) fn observe(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    /// Does all that is due.
    pub(super) fn advance(&mut self) {
        for index in 0..self.lanes.len() {
            self.check_deadlines(index);
        }
        // A drain that starts here ends with an event, which comes back to binding.
        self.advance_binding();
        self.advance_rebinding();
    }

    pub(super) fn close(&mut self, index: usize, reason: CloseReason) {
        if !reason.is_clean() {
            self.note_failure(index, true);
        }
        if reason == CloseReason::Rebind {
            self.lanes[index].rebinds += 1;
        }
        self.set_phase(index, Phase::Closing { reason });
        self.actions.push_back(Action::Close { lane: Self::lane_id(index), reason });
    }

    pub(super) fn set_phase(&mut self, index: usize, phase: Phase) {
        let was_settled = self.lanes[index].is_settled();
        self.lanes[index].phase = phase;
        let is_settled = self.lanes[index].is_settled();
        if let Some(candidate) = self.candidate_of(index) {
            candidate.lanes += usize::from(is_settled);
            candidate.lanes -= usize::from(was_settled);
        }
    }

    pub(super) fn candidate_of(&mut self, index: usize) -> Option<&mut Candidate> {
        self.candidates.get_mut(&self.lanes[index].target?)
    }

    pub(super) fn lane_id(index: usize) -> LaneId {
        LaneId(u32::try_from(index).expect("lanes are bounded far below u32::MAX"))
    }

    pub(super) fn lane_index(&self, lane: LaneId) -> Option<usize> {
        usize::try_from(lane.0).ok().filter(|index| *index < self.lanes.len())
    }

    pub(super) fn backoff_limits(&self) -> Limits {
        Limits { shortest: self.options.backoff_min, longest: self.options.backoff_max }
    }

    /// The bounds of the pause before `target` is tried again: while others take batches, no longer than a rebind
    /// period, within which it is to have its share again. While all are down a crowd of producers would
    /// be the storm that the longest pause is for.
    fn retry_limits(&self, target: Option<Target>) -> Limits {
        let limits = self.backoff_limits();
        let others_serve = self.candidates.iter().any(|(other, candidate)| {
            Some(*other) != target && candidate.state(self.now) == CandidateState::Active
        });
        match self.options.rebind_interval {
            Some(period) if others_serve => {
                Limits { longest: limits.longest.min(period), ..limits }
            }
            Some(_) | None => limits,
        }
    }

    fn check_deadlines(&mut self, index: usize) {
        let lane = &self.lanes[index];
        let is_late = lane.oldest_age(self.now) >= self.options.acknowledgement_deadline
            && !lane.in_flight.is_empty();
        match lane.phase {
            Phase::Idle | Phase::Backoff | Phase::Resolving { .. } | Phase::Closing { .. } => {}
            Phase::Connecting { deadline } | Phase::Handshaking { deadline } => {
                if self.now >= deadline {
                    self.close(index, CloseReason::ConnectDeadline);
                }
            }
            Phase::Ready | Phase::Draining { .. } if is_late => {
                self.close(index, CloseReason::AcknowledgementDeadline);
            }
            Phase::Ready => {
                if lane.heartbeat_timer(&self.options).is_some_and(|due| self.now >= due) {
                    self.beat(index);
                }
            }
            Phase::Draining { .. } => {}
        }
    }

    fn beat(&mut self, index: usize) {
        if self.lanes[index].heartbeat_at.is_some() {
            self.close(index, CloseReason::HeartbeatMissed);
        } else {
            self.lanes[index].heartbeat_at = Some(self.now);
            self.actions.push_back(Action::Heartbeat { lane: Self::lane_id(index) });
        }
    }

    /// Notes that a lane failed; `eject` where its candidate is to blame.
    fn note_failure(&mut self, index: usize, eject: bool) {
        let limits = self.retry_limits(self.lanes[index].target);
        let lane = &mut self.lanes[index];
        lane.failures += 1;
        lane.is_moving = false;
        lane.not_before = self.now.after(lane.backoff.next_delay(limits, &mut self.random));
        let target = lane.target.filter(|_| eject);
        let bound_at = lane.bound_at;
        if let Some(candidate) = target.and_then(|target| self.candidates.get_mut(&target)) {
            candidate.eject(self.now, bound_at, limits, &mut self.random);
        }
    }

    /// Frees the lane of its candidate; gives back what was in flight.
    fn unbind(&mut self, index: usize) -> Vec<u64> {
        // What was decided for the connection that is gone must not meet the next one.
        let lane = Self::lane_id(index);
        self.actions.retain(|action| action.lane() != Some(lane));
        let phase = if self.lanes[index].is_retiring { Phase::Idle } else { Phase::Backoff };
        self.set_phase(index, phase);
        let entries = std::mem::take(&mut self.lanes[index].in_flight);
        if let Some(candidate) = self.candidate_of(index) {
            entries.iter().for_each(|entry| candidate.release(entry.batch.bytes));
        }
        let lane = &mut self.lanes[index];
        lane.in_flight_bytes = 0;
        lane.is_retiring = false;
        lane.target = None;
        entries.iter().map(|entry| entry.batch.token).collect()
    }

    fn release(&mut self, lane: LaneId, token: u64) -> Option<(usize, InFlight)> {
        let index = self.lane_index(lane)?;
        let entry = self.lanes[index].release(token)?;
        if let Some(candidate) = self.candidate_of(index) {
            candidate.release(entry.batch.bytes);
        }
        Some((index, entry))
    }
}
