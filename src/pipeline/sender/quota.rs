//! The spool is full and `spool.full=drop_oldest`: what gives way.
//!
//! The oldest batches go, a segment at a time, each counted by its reason; what is on a live lane at
//! this moment is left alone. A batch that was sent and never answered is counted apart: it may have arrived.

use crate::pipeline::sender::Sender;
use crate::spool::DropReason;
use crate::spool::Resolution;

impl Sender {
    /// Gives up what is left of the oldest segment, so that its space comes free: of an adopted spool while
    /// there is one, since the quota spans them all, then of our own.
    ///
    /// Segments are released in order: where a batch of the oldest one is on a lane at this moment, giving up
    /// others would free nothing, so nothing is given up until that lane has answered or failed. Nor would it where the
    /// disk takes no account of what ended before.
    pub(super) fn make_space(&mut self) {
        let Some((source, segment)) = self.flights.segment_to_give_way() else { return };
        let in_segment: Vec<(u64, bool, bool)> = self
            .flights
            .iter()
            .filter(|(_, flight)| {
                flight.source == source && flight.frame.position().segment == segment
            })
            .map(|(token, flight)| (token, flight.lane.is_some(), flight.binding.is_some()))
            .collect();
        if in_segment.iter().any(|(_, is_on_lane, _)| *is_on_lane) {
            return;
        }
        for (token, _, is_bound) in in_segment {
            let reason = if is_bound { DropReason::InDoubt } else { DropReason::Quota };
            self.settle(token, Resolution::Dropped(reason));
        }
        while let Some(next) = self.flights.take_of(source, segment) {
            let dropped = Resolution::Dropped(DropReason::Quota);
            self.flights.resolve_frame(source, &next.frame, dropped);
        }
        if let Some(source) = self.flights.source(source) {
            // Before the batcher tries again, or another one would give way.
            source.reader.release();
        }
        // Asked for once more while this went on; the batcher asks again if it still has no room.
        self.handover.take_space_wanted();
    }
}
