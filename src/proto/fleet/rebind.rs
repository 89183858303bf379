//! When a lane leaves its candidate, and how many may do so at a time.
//!
//! A lane drains for one of these reasons, in this order: its address is gone; it has used up its
//! quota of bytes, records or time; another candidate could be bound and has at least two lanes
//! fewer. Invariants: at most `max(1, lanes / 4)` lanes are on the way at a time, from the start of
//! the drain until they are ready again; a lane is never drained while it is the only ready one of
//! several, unless its address is gone.

use std::time::Duration;

use crate::ids::LaneId;
use crate::ids::Moment;
use crate::proto::fleet::CloseReason;
use crate::proto::fleet::Options;
use crate::proto::fleet::candidate::Target;
use crate::proto::fleet::fleet::Fleet;
use crate::proto::fleet::lane::Lane;
use crate::proto::fleet::lane::Phase;
use crate::proto::fleet::random::Random;

/// What a lane may still carry before it moves on; drawn anew for each binding.
#[derive(Clone, Debug, Default)]
pub(super) struct Quota {
    bytes: Option<u64>,
    records: Option<u64>,
    until: Option<Moment>,
}

impl Quota {
    pub(super) fn draw(now: Moment, options: &Options, random: &mut Random) -> Self {
        Self {
            bytes: options.rebind_bytes.map(|bytes| jittered(bytes, random)),
            records: options.rebind_records.map(|records| jittered(records, random)),
            until: options.rebind_interval.map(|interval| {
                let nanoseconds = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
                now.after(Duration::from_nanos(jittered(nanoseconds, random)))
            }),
        }
    }

    pub(super) fn spend(&mut self, bytes: u32, records: u32) {
        self.bytes = self.bytes.map(|left| left.saturating_sub(u64::from(bytes)));
        self.records = self.records.map(|left| left.saturating_sub(u64::from(records)));
    }

    /// From now on nothing is left.
    fn exhaust(&mut self, now: Moment) {
        self.until = Some(now);
    }

    pub(super) fn until(&self) -> Option<Moment> {
        self.until
    }

    fn is_spent(&self, now: Moment) -> bool {
        self.bytes == Some(0)
            || self.records == Some(0)
            || self.until.is_some_and(|until| now >= until)
    }
}

impl Fleet {
    /// The lane's connection is not to be used much longer, because it was made with credentials that were
    /// replaced or expire, say: it is moved as soon as the limits on moving lanes allow it.
    pub fn renew(&mut self, now: Moment, lane: LaneId) {
        self.observe(now);
        if let Some(index) = self.lane_index(lane)
            && self.lanes[index].phase == Phase::Ready
        {
            self.lanes[index].quota.exhaust(self.now);
        }
        self.advance();
    }

    /// Starts as many drains as the limit allows, then closes the lanes that have drained.
    pub(super) fn advance_rebinding(&mut self) {
        while self.may_move_another() {
            let Some(index) = self.lane_to_move() else { break };
            let reason = if self.is_on_removed_target(&self.lanes[index]) {
                CloseReason::EndpointRemoved
            } else {
                CloseReason::Rebind
            };
            self.lanes[index].is_moving = true;
            self.set_phase(index, Phase::Draining { reason });
            // Asked now, so that fresh addresses are there when the lane has drained.
            self.ask_names(self.lanes[index].pinned);
        }
        for index in 0..self.lanes.len() {
            if let Phase::Draining { reason } = self.lanes[index].phase
                && self.lanes[index].in_flight.is_empty()
            {
                self.close(index, reason);
            }
        }
    }

    fn may_move_another(&self) -> bool {
        let wanted = self.lanes.iter().filter(|lane| lane.is_wanted()).count();
        let moving = self.lanes.iter().filter(|lane| lane.is_moving).count();
        moving < (wanted / MOVING_SHARE).max(1)
    }

    fn lane_to_move(&self) -> Option<usize> {
        let ready = || {
            self.lanes
                .iter()
                .enumerate()
                .filter(|(_, lane)| lane.phase == Phase::Ready && lane.is_wanted())
        };
        if let Some((index, _)) = ready().find(|(_, lane)| self.is_on_removed_target(lane)) {
            return Some(index);
        }
        let is_alone = self.lanes.iter().filter(|lane| lane.is_wanted()).count() == 1;
        if ready().count() < 2 && !is_alone {
            return None;
        }
        if let Some((index, _)) = ready().find(|(_, lane)| lane.quota.is_spent(self.now)) {
            return Some(index);
        }
        // Whoever is unbound already will take the empty place.
        if self.lanes.iter().any(|lane| lane.is_wanted() && lane.is_unbound()) {
            return None;
        }
        ready().find(|(_, lane)| self.is_crowded(lane)).map(|(index, _)| index)
    }

    pub(super) fn is_on_removed_target(&self, lane: &Lane) -> bool {
        lane.target.is_some_and(|target| {
            self.candidates.get(&target).is_none_or(|candidate| candidate.removed_at.is_some())
        })
    }

    /// Whether another candidate could be bound and has at least two lanes fewer.
    fn is_crowded(&self, lane: &Lane) -> bool {
        let own_lanes = self.lanes_on(lane.target);
        lane.pinned.is_none()
            && own_lanes >= 2
            && self.bindable(None).any(|(_, candidate)| candidate.lanes + 2 <= own_lanes)
    }

    pub(super) fn lanes_on(&self, target: Option<Target>) -> usize {
        target.and_then(|target| self.candidates.get(&target)).map_or(0, |found| found.lanes)
    }
}

/// `value` times a factor between 0.85 and 1.15, at least 1.
fn jittered(value: u64, random: &mut Random) -> u64 {
    ((value as f64 * (0.85 + 0.3 * random.unit())) as u64).max(1)
}

/// One lane in this many may be moving.
const MOVING_SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_comes_first_spends_the_quota() {
        let options = Options {
            rebind_bytes: Some(1000),
            rebind_records: Some(100),
            rebind_interval: Some(Duration::from_secs(10)),
            ..Options::default()
        };
        let fresh = Quota::draw(Moment(0), &options, &mut Random::new(1));
        assert!(!fresh.is_spent(Moment(0)));
        let spent = |bytes, records| {
            let mut quota = fresh.clone();
            quota.spend(bytes, records);
            quota.is_spent(Moment(0))
        };
        assert!(!spent(849, 84));
        assert!(spent(1150, 0));
        assert!(spent(0, 115));
        assert!(!fresh.is_spent(Moment(8_400_000_000)));
        assert!(fresh.is_spent(Moment(11_600_000_000)));
    }

    #[test]
    fn jitter_spreads_by_fifteen_per_cent_each_way() {
        let mut random = Random::new(9);
        let drawn: Vec<u64> = (0..1000).map(|_| jittered(1000, &mut random)).collect();
        assert!(drawn.iter().all(|value| (850..=1150).contains(value)));
        assert!(drawn.iter().any(|value| *value < 870) && drawn.iter().any(|value| *value > 1130));
        assert_eq!(jittered(0, &mut random), 1);
    }
}
