//! Which lane gets the next batch.
//!
//! The lane with the lowest cost:
//!
//! ```text
//! cost     = (candidate's bytes in flight + lane's bytes in flight + bytes) * slowness
//! slowness = max(1, latency / (2 * max(best latency of all, 5 ms)))
//! latency  = max(smoothed acknowledgement latency, age of the oldest unacknowledged batch)
//! ```
//!
//! That is Finagle's Peak EWMA (cost = smoothed latency * pending) with a tolerance: pure products
//! give everything to whichever receiver is 1 % faster while the load is light. Lanes are few, so all
//! are compared; the load compared is our own and never stale, so no herd forms. Among
//! equal costs goes first the candidate, then the lane, that got fewer bytes lately, and then chance:
//! equal receivers get equal shares over any span of more than a few batches.
//!
//! Left out are lanes that are not ready, lanes or candidates whose window is full, and *stalled*
//! lanes (oldest batch older than half the acknowledgement deadline) while another one is not.
//! A batch never waits here: it is placed at once or not at all.

use std::cmp::Ordering;
use std::time::Duration;

use crate::ids::EndpointId;
use crate::ids::LaneId;
use crate::ids::Moment;
use crate::proto::fleet::Batch;
use crate::proto::fleet::candidate::Candidate;
use crate::proto::fleet::fleet::Fleet;
use crate::proto::fleet::lane::Lane;
use crate::proto::fleet::lane::Phase;

impl Fleet {
    /// Places a batch on the best lane and notes it as in flight there; `None` if no lane can take
    /// it at present. With `endpoints`, only lanes bound to one of them are considered (Kafka mode:
    /// the leaders that would do). Neither blocks nor allocates beyond the lane's window.
    pub fn assign(
        &mut self,
        now: Moment,
        batch: Batch,
        endpoints: Option<&[EndpointId]>,
    ) -> Option<LaneId> {
        self.observe(now);
        let index = self.best_lane(batch.bytes, endpoints)?;
        self.lanes[index].take(self.now, batch);
        let now = self.now;
        if let Some(candidate) = self.candidate_of(index) {
            candidate.take(now, batch.bytes);
        }
        // The batch may have used up the lane's quota.
        self.advance();
        Some(Self::lane_id(index))
    }

    /// The lanes whose windows would let in a batch of so many bytes now, wherever it has to go.
    pub fn lanes_with_room(&self, bytes: u32) -> impl Iterator<Item = LaneId> {
        let ready = self.lanes.iter().enumerate().filter(move |(_, lane)| {
            let candidate = lane.target.and_then(|target| self.candidates.get(&target));
            lane.phase == Phase::Ready
                && lane.has_room(&self.options, bytes)
                && candidate.is_some_and(Candidate::has_room)
        });
        ready.map(|(index, _)| Self::lane_id(index))
    }

    /// Lets a lane that has become ready join the others instead of catching up with them.
    pub(super) fn join_recent(&mut self, index: usize) {
        let now = self.now;
        let others = || {
            let lanes = self.lanes.iter().enumerate();
            lanes.filter(|(other, lane)| *other != index && lane.phase == Phase::Ready)
        };
        let least = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::min).unwrap_or(0.0);
        let lane_floor = least(&mut others().map(|(_, lane)| lane.recent.bytes(now)));
        let own = self.lanes[index].target;
        let candidate_floor = least(
            &mut others()
                .filter(|(_, lane)| lane.target != own)
                .filter_map(|(_, lane)| self.candidates.get(&lane.target?))
                .map(|candidate| candidate.recent.bytes(now)),
        );
        self.lanes[index].recent.raise(now, lane_floor);
        if let Some(candidate) = self.candidate_of(index) {
            candidate.recent.raise(now, candidate_floor);
        }
    }

    fn best_lane(&mut self, bytes: u32, endpoints: Option<&[EndpointId]>) -> Option<usize> {
        let now = self.now;
        let mut random = self.random.clone();
        let stalled_after = self.options.acknowledgement_deadline / 2;
        let ready = || {
            self.lanes.iter().enumerate().filter_map(|(index, lane)| {
                let target = lane.target.filter(|target| {
                    lane.phase == Phase::Ready
                        && endpoints.is_none_or(|allowed| allowed.contains(&target.endpoint))
                })?;
                Some((index, lane, self.candidates.get(&target)?))
            })
        };
        let is_stalled = |lane: &Lane| lane.oldest_age(now) > stalled_after;
        let skip_stalled = ready().any(|(_, lane, _)| !is_stalled(lane));
        let best_latency = ready()
            .filter(|(_, lane, _)| !is_stalled(lane))
            .filter_map(|(_, lane, _)| lane.latency.aged(now))
            .min()
            .unwrap_or_default();
        let mut best: Option<(usize, [f64; 3])> = None;
        let mut equals = 0;
        for (index, lane, candidate) in ready() {
            let has_room = lane.has_room(&self.options, bytes) && candidate.has_room();
            if !has_room || (skip_stalled && is_stalled(lane)) {
                continue;
            }
            let key = [
                cost(now, bytes, lane, candidate, best_latency),
                candidate.recent.bytes(now),
                lane.recent.bytes(now),
            ];
            let order = best.map_or(Ordering::Less, |(_, least)| {
                key.partial_cmp(&least).unwrap_or(Ordering::Equal)
            });
            equals = match order {
                Ordering::Less => 1,
                Ordering::Equal => equals + 1,
                Ordering::Greater => continue,
            };
            // Each of n equals ends up chosen with probability 1/n (reservoir sampling).
            if random.below(equals) == 0 {
                best = Some((index, key));
            }
        }
        self.random = random;
        best.map(|(index, _)| index)
    }
}

fn cost(now: Moment, bytes: u32, lane: &Lane, candidate: &Candidate, best: Duration) -> f64 {
    let in_flight = candidate.in_flight_bytes + lane.in_flight_bytes + u64::from(bytes);
    let latency = lane.latency.aged(now).unwrap_or_default().max(lane.oldest_age(now));
    let tolerated = LATENCY_TOLERANCE * best.max(LATENCY_FLOOR);
    // At least one byte, so that slowness counts for empty batches too.
    in_flight.max(1) as f64 * (latency.as_secs_f64() / tolerated.as_secs_f64()).max(1.0)
}

/// Receivers whose latencies differ by less than this factor are taken as equally good.
const LATENCY_TOLERANCE: u32 = 2;

/// Latencies below this are noise of scheduling rather than news of a receiver.
const LATENCY_FLOOR: Duration = Duration::from_millis(5);
