//! One place that a lane may connect to: its health, its ramp-up, its load.
//!
//! A candidate that failed is *ejected* for a time drawn by its backoff, then *half-open*: one lane
//! may try it with one batch. The first acknowledgement makes it *active* again, and each further one
//! lets one more batch be in flight (TCP's slow start: the window doubles per round trip), until
//! only the lanes' own windows count. A new candidate is ramped up in the same way.
//!
//! Invariants: only an acknowledgement ends the row of failures; several lanes that lose one
//! receiver at one instant are one failure, not several. Knows nothing of lanes.

use std::net::SocketAddr;

use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::backoff::Backoff;
use crate::proto::fleet::backoff::Limits;
use crate::proto::fleet::meter::Latency;
use crate::proto::fleet::meter::Recent;
use crate::proto::fleet::meter::Totals;
use crate::proto::fleet::random::Random;

/// One address of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The endpoint whose name gave the address.
    pub endpoint: EndpointId,
    /// The address.
    pub address: SocketAddr,
}

/// Whether a candidate may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateState {
    /// Any number of lanes may bind to it.
    Active,
    /// It failed; nothing connects to it before its backoff has passed.
    Ejected,
    /// Its backoff has passed; one lane may try it with one batch.
    HalfOpen,
    /// Its address or endpoint is gone; lanes drain and leave it.
    Removed,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    backoff: Backoff,
    /// False from a failure until the next acknowledgement.
    trusted: bool,
    pub(super) available_at: Moment,
    ejected_at: Option<Moment>,
    /// How many batches may be in flight to it, over all lanes.
    allowed_batches: usize,
    /// Lanes that are bound to it and mean to stay.
    pub(super) lanes: usize,
    pub(super) in_flight_batches: usize,
    pub(super) in_flight_bytes: u64,
    pub(super) recent: Recent,
    pub(super) latency: Latency,
    pub(super) totals: Totals,
    pub(super) failures: u64,
    pub(super) removed_at: Option<Moment>,
}

impl Candidate {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            backoff: Backoff::default(),
            trusted: true,
            available_at: now,
            ejected_at: None,
            allowed_batches: 1,
            lanes: 0,
            in_flight_batches: 0,
            in_flight_bytes: 0,
            recent: Recent::new(now),
            latency: Latency::default(),
            totals: Totals::default(),
            failures: 0,
            removed_at: None,
        }
    }

    pub(super) fn state(&self, now: Moment) -> CandidateState {
        if self.removed_at.is_some() {
            CandidateState::Removed
        } else if self.trusted {
            CandidateState::Active
        } else if now < self.available_at {
            CandidateState::Ejected
        } else {
            CandidateState::HalfOpen
        }
    }

    /// Whether one more lane may bind to it, where no candidate is to have more than `lanes_max`.
    pub(super) fn is_bindable(&self, now: Moment, lanes_max: usize) -> bool {
        match self.state(now) {
            CandidateState::Active => self.lanes < lanes_max,
            CandidateState::HalfOpen => self.lanes == 0,
            CandidateState::Ejected | CandidateState::Removed => false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.in_flight_batches < self.allowed_batches
    }

    /// Notes that a lane which began to connect at `bound_at` failed.
    pub(super) fn eject(
        &mut self,
        now: Moment,
        bound_at: Moment,
        limits: Limits,
        random: &mut Random,
    ) {
        self.failures += 1;
        self.trusted = false;
        self.allowed_batches = 1;
        // A lane that was bound before the last ejection says nothing new.
        if self.ejected_at.is_none_or(|ejected_at| bound_at >= ejected_at) {
            self.ejected_at = Some(now);
            self.available_at = now.after(self.backoff.next_delay(limits, random));
        }
    }

    /// Notes that a batch was handed to a lane bound to it.
    pub(super) fn take(&mut self, now: Moment, bytes: u32) {
        self.in_flight_batches += 1;
        self.in_flight_bytes += u64::from(bytes);
        self.recent.add(now, bytes);
    }

    /// Notes that a batch left the lane, for whatever reason.
    pub(super) fn release(&mut self, bytes: u32) {
        self.in_flight_batches -= 1;
        self.in_flight_bytes -= u64::from(bytes);
    }

    /// Notes that a batch was acknowledged, after [`Self::release`].
    pub(super) fn acknowledge(&mut self, now: Moment, records: u32, bytes: u32, since: Moment) {
        self.backoff.reset();
        self.trusted = true;
        self.available_at = now;
        self.ejected_at = None;
        self.allowed_batches = self.allowed_batches.saturating_add(1);
        self.latency.sample(now, now.since(since));
        self.totals.add(records, bytes);
    }
}
