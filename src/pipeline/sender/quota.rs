//! The spool is full and `spool.full=drop_oldest`: what gives way.
//!
//! The oldest batches go, a segment's worth at a time, each counted by its reason; what is on a live
//! lane at this moment is left alone. A batch that was sent and never answered is counted apart: it may have arrived.

use crate::pipeline::sender::Sender;
use crate::pipeline::sender::flights::OWN;
use crate::spool::DropReason;
use crate::spool::Resolution;

impl Sender {
    /// Gives up the oldest batches of our own spool until a segment's worth of bytes is free.
    pub(super) fn make_space(&mut self) {
        let wanted = self.settings.spool.segment_bytes;
        let mut freed = 0;
        for (token, bytes) in self.grounded_oldest_first() {
            if freed >= wanted {
                return;
            }
            freed += bytes;
            let is_bound = self.flights.get(token).is_some_and(|flight| flight.binding.is_some());
            let reason = if is_bound { DropReason::InDoubt } else { DropReason::Quota };
            self.settle(token, Resolution::Dropped(reason));
        }
        let next_is_own = self.flights.peek().is_some_and(|next| next.source == OWN);
        if next_is_own && let Some(next) = self.flights.take_next() {
            freed += next.frame.bytes();
            let dropped = Resolution::Dropped(DropReason::Quota);
            self.flights.resolve_frame(OWN, &next.frame, dropped);
        }
        while freed < wanted
            && let Some(next) = self.flights.read(OWN)
        {
            freed += next.frame.bytes();
            let dropped = Resolution::Dropped(DropReason::Quota);
            self.flights.resolve_frame(OWN, &next.frame, dropped);
        }
    }

    /// Batches of our own that were read before and are on no lane now.
    fn grounded_oldest_first(&self) -> Vec<(u64, u64)> {
        let mut grounded: Vec<_> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.source == OWN && flight.lane.is_none())
            .map(|(token, flight)| (flight.frame.position(), token, flight.frame.bytes()))
            .collect();
        grounded.sort_unstable_by_key(|(position, ..)| *position);
        grounded.into_iter().map(|(_, token, bytes)| (token, bytes)).collect()
    }
}
