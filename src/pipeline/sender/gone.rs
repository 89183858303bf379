//! Batches of partitions that are gone: a topic was deleted and made anew with fewer of them, or what a dead process
//! left goes to a smaller cluster.
//!
//! What was appended there is gone as well, so a batch is bound anew whatever its fate was (in another cluster it may
//! be there: readers know it by its identity). Its numbers are given up and never used again: should the partition come
//! back, it gets a new epoch, and never something new under the numbers of something old.

use crate::ids::LaneId;
use crate::pipeline::placement;
use crate::pipeline::placement::place;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::spaces::SpaceId;

impl Sender {
    /// Gives the batches of partitions that are gone to others of their topics; those of a partition wait until none of
    /// them is on a lane, which its answer or its deadline ends.
    pub(super) fn leave_gone(&mut self) {
        for id in self.spaces.gone() {
            let space = self.spaces.get(id);
            let (topic, partition) = (space.topic.clone(), space.partition);
            let mut left: Vec<(u64, Option<LaneId>)> = self
                .flights
                .iter()
                .filter(|(_, it)| it.partition == partition && it.frame.topic() == topic)
                .map(|(token, flight)| (token, flight.lane))
                .collect();
            if left.iter().all(|(_, lane)| lane.is_none()) {
                left.sort_unstable_by_key(|(token, _)| *token);
                left.into_iter().for_each(|(token, _)| self.leave(id, token));
            }
        }
    }

    /// Unbinds a batch from a partition that is gone, and has it wait for another one.
    fn leave(&mut self, id: SpaceId, token: u64) {
        let Some(flight) = self.flights.get_mut(token) else { return };
        flight.binding = None;
        let was_numbered = flight.space.take().is_some();
        let (bytes, mark) = (flight.frame.bytes(), flight.frame.partition());
        let topic = flight.frame.topic().to_owned();
        let space = self.spaces.get(id);
        space.let_go(token);
        if was_numbered {
            space.unacknowledged_bytes = space.unacknowledged_bytes.saturating_sub(bytes);
            if let Some(sequences) = &mut space.sequences {
                let known = sequences.give_up(token);
                debug_assert!(known.is_ok(), "a flight's space holds it until it is settled");
            }
        }
        // The count is known, or nothing would be known to be gone.
        let fixed = place(mark, self.spaces.partition_count(&topic)).unwrap_or_default();
        let fixed = fixed.map(|partition| self.spaces.present(&topic, partition));
        if let Some(flight) = self.flights.get_mut(token) {
            flight.partition = fixed.unwrap_or(placement::ANY);
        }
        match fixed {
            Some(partition) => {
                let id = self.spaces.of_partition(&topic, partition);
                self.spaces.get(id).hold(token);
            }
            None => self.parked.push(&topic, token),
        }
    }
}
