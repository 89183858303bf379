//! What the statistics show of lanes and candidates: copies, never references.

use std::time::Duration;

use crate::ids::LaneId;
use crate::proto::fleet::candidate::CandidateState;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::fleet::Fleet;
use crate::proto::fleet::lane::LaneState;
use crate::proto::fleet::meter::Totals;

/// A lane at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Its name, for as long as the fleet lives.
    pub id: LaneId,
    /// Where it is in its life.
    pub state: LaneState,
    /// What it is bound to, from `Connecting` to `Closing`.
    pub target: Option<Target>,
    /// Unacknowledged batches.
    pub in_flight_batches: usize,
    /// Unacknowledged bytes.
    pub in_flight_bytes: u64,
    /// Smoothed time from `assign` to the acknowledgement, since it was bound.
    pub latency: Option<Duration>,
    /// What was acknowledged on it, over all bindings.
    pub acknowledged: Totals,
    /// How often it moved on by its own quota, or to spread the lanes.
    pub rebinds: u64,
    /// How often it failed.
    pub failures: u64,
}

/// A candidate at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateView {
    /// Its endpoint and address.
    pub target: Target,
    /// Whether lanes may be bound to it.
    pub state: CandidateState,
    /// Lanes that connect to it or are ready on it.
    pub lanes: usize,
    /// Unacknowledged batches over all lanes.
    pub in_flight_batches: usize,
    /// Unacknowledged bytes over all lanes.
    pub in_flight_bytes: u64,
    /// Smoothed time from `assign` to the acknowledgement.
    pub latency: Option<Duration>,
    /// What it acknowledged.
    pub acknowledged: Totals,
    /// How many lanes failed on it.
    pub failures: u64,
}

impl Fleet {
    /// All lanes, by their numbers.
    pub fn lanes(&self) -> impl Iterator<Item = LaneView> {
        self.lanes.iter().enumerate().map(|(index, lane)| LaneView {
            id: Self::lane_id(index),
            state: lane.state(),
            target: lane.target,
            in_flight_batches: lane.in_flight.len(),
            in_flight_bytes: lane.in_flight_bytes,
            latency: lane.latency.smoothed(),
            acknowledged: lane.totals,
            rebinds: lane.rebinds,
            failures: lane.failures,
        })
    }

    /// All candidates, by endpoint and address; removed ones for as long as they are remembered.
    pub fn candidates(&self) -> impl Iterator<Item = CandidateView> {
        self.candidates.iter().map(|(target, candidate)| CandidateView {
            target: *target,
            state: candidate.state(self.now),
            lanes: candidate.lanes,
            in_flight_batches: candidate.in_flight_batches,
            in_flight_bytes: candidate.in_flight_bytes,
            latency: candidate.latency.smoothed(),
            acknowledged: candidate.totals,
            failures: candidate.failures,
        })
    }

    /// Whether no lane is left, which after [`Fleet::shutdown`] is the end.
    pub fn is_idle(&self) -> bool {
        self.lanes.iter().all(|lane| lane.state() == LaneState::Idle)
    }
}
