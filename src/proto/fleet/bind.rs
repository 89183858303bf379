//! From a lane without a connection to a lane that connects: fresh addresses, then a choice.
//!
//! The choice: fewest lanes first; among equals the one of two random ones to which this fleet sent
//! less lately (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). Plain
//! "least loaded" would send one lane of every producer to a new receiver at once, and keep those
//! producers in step ever after. Invariants: no candidate gets more than its share of the lanes,
//! `ceil(lanes / addresses)`, so lanes that lost theirs wait for it and do not crowd the others;
//! at most `concurrent_connects_max` lanes are connecting.

use crate::ids::EndpointId;
use crate::ids::Moment;
use crate::proto::fleet::Action;
use crate::proto::fleet::candidate::Candidate;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::fleet::Fleet;
use crate::proto::fleet::lane::Phase;
use crate::proto::fleet::meter::Latency;

impl Fleet {
    /// Takes every lane without a connection as far as it can go.
    pub(super) fn advance_binding(&mut self) {
        self.ask_unknown_names();
        for index in 0..self.lanes.len() {
            let lane = &self.lanes[index];
            if lane.phase == Phase::Backoff && self.now >= lane.not_before && self.may_bind(index) {
                let pinned = lane.pinned;
                self.ask_names(pinned);
                let until = self.fresh_by(pinned).unwrap_or(self.now);
                self.set_phase(index, Phase::Resolving { until });
            }
            let lane = &self.lanes[index];
            if let Phase::Resolving { until } = lane.phase
                && (self.now >= until || self.fresh_by(lane.pinned).is_none())
            {
                match self.choose(index) {
                    Some(target) => self.bind(index, target),
                    None => {
                        self.lanes[index].is_moving = false;
                        self.set_phase(index, Phase::Backoff);
                    }
                }
            }
        }
    }

    /// Asks for the addresses that a lane may bind to, as often as the names' pace allows.
    pub(super) fn ask_names(&mut self, pinned: Option<EndpointId>) {
        for (id, name) in &mut self.names {
            if pinned.is_none_or(|endpoint| endpoint == *id) && name.ask(self.now) {
                self.actions.push_back(Action::Resolve(*id));
            }
        }
    }

    /// The candidates to which one more lane may be bound.
    pub(super) fn bindable(
        &self,
        pinned: Option<EndpointId>,
    ) -> impl Iterator<Item = (&Target, &Candidate)> {
        let lanes_max = match pinned {
            Some(_) => 1,
            None => self.shared_lanes_wanted().div_ceil(self.addresses().max(1)),
        };
        self.candidates.iter().filter(move |(target, candidate)| {
            pinned.is_none_or(|endpoint| endpoint == target.endpoint)
                && candidate.is_bindable(self.now, lanes_max)
        })
    }

    fn ask_unknown_names(&mut self) {
        if self.is_shutting_down {
            return;
        }
        for (id, name) in &mut self.names {
            if name.addresses == 0 && name.ask(self.now) {
                self.actions.push_back(Action::Resolve(*id));
            }
        }
    }

    /// Until when to wait for open questions; `None` when nothing is open.
    fn fresh_by(&self, pinned: Option<EndpointId>) -> Option<Moment> {
        self.names
            .iter()
            .filter(|(id, _)| pinned.is_none_or(|endpoint| endpoint == **id))
            .filter_map(|(_, name)| name.wait_until())
            .max()
    }

    fn may_bind(&self, index: usize) -> bool {
        let connecting = self.lanes.iter().filter(|lane| lane.is_connecting()).count();
        connecting < self.options.concurrent_connects_max
            && self.bindable(self.lanes[index].pinned).next().is_some()
    }

    fn choose(&mut self, index: usize) -> Option<Target> {
        if !self.may_bind(index) {
            return None;
        }
        let pinned = self.lanes[index].pinned;
        let fewest = self.bindable(pinned).map(|(_, candidate)| candidate.lanes).min()?;
        let mut equals: Vec<(Target, f64)> = self
            .bindable(pinned)
            .filter(|(_, candidate)| candidate.lanes == fewest)
            .map(|(target, candidate)| (*target, candidate.recent.bytes(self.now)))
            .collect();
        let first = equals.swap_remove(self.random.below(equals.len()));
        if equals.is_empty() {
            return Some(first.0);
        }
        let second = equals[self.random.below(equals.len())];
        Some(if second.1 < first.1 { second.0 } else { first.0 })
    }

    fn bind(&mut self, index: usize, target: Target) {
        let lane = &mut self.lanes[index];
        lane.target = Some(target);
        lane.bound_at = self.now;
        lane.heartbeat_at = None;
        lane.latency = Latency::default();
        let deadline = self.now.after(self.options.connect_timeout);
        self.set_phase(index, Phase::Connecting { deadline });
        self.actions.push_back(Action::Connect { lane: Self::lane_id(index), target });
    }
}
