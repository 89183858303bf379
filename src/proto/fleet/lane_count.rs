//! How many lanes there are, and which ones go when there are too many.
//!
//! Invariant: slots are reused before new ones are made, so their number never exceeds the largest
//! number of lanes that was ever wanted.

use std::collections::BTreeSet;

use crate::ids::EndpointId;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::fleet::Fleet;
use crate::proto::fleet::lane::Lane;
use crate::proto::fleet::lane::Phase;

/// Automatic lanes at the least: with a second one a single receiver is kept busy while the first waits for its
/// window, and a lane that moves is no pause.
const AUTOMATIC_LANES_MIN: usize = 2;

impl Fleet {
    /// Brings the lanes to the wanted number after names, addresses or the fleet's life changed.
    pub(super) fn adjust_lane_count(&mut self) {
        if self.options.one_lane_per_endpoint {
            self.adjust_pinned();
        } else {
            self.adjust_shared();
        }
    }

    /// Wanted lanes where any lane may bind to any candidate.
    pub(super) fn shared_lanes_wanted(&self) -> usize {
        if self.is_shutting_down || self.names.is_empty() {
            return 0;
        }
        match self.options.lanes {
            0 => self.addresses().max(AUTOMATIC_LANES_MIN).min(self.options.lanes_max.max(1)),
            fixed => fixed,
        }
    }

    fn adjust_shared(&mut self) {
        let wanted = self.shared_lanes_wanted();
        let current = self.lanes.iter().filter(|lane| lane.is_wanted()).count();
        for _ in current..wanted {
            self.employ(None);
        }
        for _ in wanted..current {
            // Those without a connection go first, then those that have to move anyway.
            let surplus = (0..self.lanes.len())
                .filter(|index| self.lanes[*index].is_wanted())
                .max_by_key(|index| {
                    let lane = &self.lanes[*index];
                    let is_removed = self.is_on_removed_target(lane);
                    (!lane.is_settled(), is_removed, self.lanes_on(lane.target), *index)
                });
            if let Some(index) = surplus {
                self.retire(index);
            }
        }
    }

    fn adjust_pinned(&mut self) {
        let mut missing: BTreeSet<EndpointId> = BTreeSet::new();
        if !self.is_shutting_down {
            missing.extend(self.names.keys());
        }
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            let is_kept = lane.pinned.is_some_and(|endpoint| missing.contains(&endpoint));
            match lane.pinned {
                Some(endpoint) if lane.is_wanted() && is_kept => {
                    missing.remove(&endpoint);
                }
                Some(_) | None => self.retire(index),
            }
        }
        for endpoint in missing {
            self.employ(Some(endpoint));
        }
    }

    fn employ(&mut self, pinned: Option<EndpointId>) {
        let idle = self.lanes.iter().position(|lane| lane.phase == Phase::Idle);
        let retiring = || self.lanes.iter().position(|lane| lane.is_retiring);
        let index = idle.or_else(retiring).unwrap_or_else(|| {
            self.lanes.push(Lane::new(self.now));
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[index];
        lane.pinned = pinned;
        lane.is_retiring = false;
        if lane.phase == Phase::Idle {
            self.set_phase(index, Phase::Backoff);
        }
    }

    fn retire(&mut self, index: usize) {
        let reason = if self.is_shutting_down {
            CloseReason::Shutdown
        } else {
            CloseReason::EndpointRemoved
        };
        self.lanes[index].is_moving = false;
        match self.lanes[index].phase {
            Phase::Idle => {}
            Phase::Backoff | Phase::Resolving { .. } => self.set_phase(index, Phase::Idle),
            Phase::Connecting { .. } | Phase::Handshaking { .. } => {
                self.lanes[index].is_retiring = true;
                self.close(index, reason);
            }
            Phase::Ready => {
                self.lanes[index].is_retiring = true;
                self.set_phase(index, Phase::Draining { reason });
            }
            Phase::Draining { .. } | Phase::Closing { .. } => self.lanes[index].is_retiring = true,
        }
    }
}
