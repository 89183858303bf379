//! Batches whose topic takes nothing now: put aside, so that those of other topics behind them go on.
//!
//! A topic may not exist yet, or not let us write: its batches are put aside as they are read. One that has a leader
//! may take nothing as well (too few replicas, a leader that is silent): that shows only in that a batch of it finds no
//! place for long, though brokers would take batches of others. One that is merely busy has a place again before; its
//! batches stay in the spool, where they cost no memory and the order of reading is still open.
//!
//! They wait here in their order, up to a bound over all topics:
//! beyond it the spool is read no further, until the topic comes or the quota makes its oldest batches give
//! way. Owns the order, and how long the next batch has waited; the flights own the batches.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::LaneId;
use crate::ids::Moment;
use crate::pipeline::sender::Producer;
use crate::pipeline::sender::Sender;
use crate::pipeline::sender::connection::Connection;
use crate::spool::Frame;

/// Batches put aside at most, over all topics: some 8 MiB of memory.
const PARKED_MAX: usize = 1 << 14;

/// Batches that may be held for one partition without being counted as put aside.
pub(super) const HELD_MAX: usize = 1024;

/// How long a batch whose topic has a leader waits for a place before it is put aside: several times what a loaded
/// broker takes to answer, so that a busy topic does not come to it.
const PATIENCE: Duration = Duration::from_millis(500);

/// See the module's head.
#[derive(Debug, Default)]
pub struct Parked {
    by_topic: BTreeMap<String, VecDeque<u64>>,
    count: usize,
    /// How long the next batch has found no place; none where it has just become the next one.
    next: Option<Wait>,
}

/// Since when, and until when for certain.
#[derive(Debug)]
struct Wait {
    since: Moment,
    looked_at: Moment,
}

impl Parked {
    /// Whether batches of `topic` wait.
    pub fn holds(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Whether another batch may wait; so many are put aside elsewhere.
    fn has_room(&self, elsewhere: usize) -> bool {
        self.count + elsewhere < PARKED_MAX
    }

    /// The next batch finds no place. Whether it is put aside now, which is `possible`: where it `follows` one of its
    /// kind at once, else when it has waited for long enough.
    fn gives_up_waiting(&mut self, now: Moment, follows: bool, possible: bool) -> bool {
        let wait = self.next.get_or_insert(Wait { since: now, looked_at: now });
        wait.looked_at = now;
        possible && (follows || now >= wait.since.after(PATIENCE))
    }

    /// The next batch is another one, or waits for what everybody waits for.
    pub fn start_waiting_anew(&mut self) {
        self.next = None;
    }

    /// When the next batch is to be looked at again without an event: once, since afterwards it is an event that lets
    /// it go.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let due = |wait: &Wait| wait.since.after(PATIENCE);
        self.next.as_ref().filter(|wait| wait.looked_at < due(wait)).map(due)
    }

    /// The topics that batches wait for.
    pub fn topics(&self) -> Vec<String> {
        self.by_topic.keys().cloned().collect()
    }

    /// Has a batch wait with those of its topic, in the order of the tokens.
    pub fn push(&mut self, topic: &str, token: u64) {
        self.count += 1;
        match self.by_topic.get_mut(topic) {
            Some(tokens) => {
                tokens.insert(tokens.partition_point(|parked| *parked < token), token);
            }
            None => {
                self.by_topic.insert(topic.to_owned(), VecDeque::from([token]));
            }
        }
    }

    /// The oldest batch of a topic.
    pub fn front(&self, topic: &str) -> Option<u64> {
        self.by_topic.get(topic)?.front().copied()
    }

    /// The oldest batch of a topic waits no more.
    pub fn pop(&mut self, topic: &str) {
        let Some(tokens) = self.by_topic.get_mut(topic) else { return };
        if tokens.pop_front().is_some() {
            self.count -= 1;
        }
        if tokens.is_empty() {
            self.by_topic.remove(topic);
        }
    }
}

impl Sender {
    /// Whether another batch may be put aside.
    pub(super) fn has_room_aside(&self) -> bool {
        self.parked.has_room(self.spaces.held_beyond(HELD_MAX))
    }

    /// Whether the next batch, whose topic takes nothing though it has a leader, is to be put aside; `follows` says
    /// that others of that topic, or of that partition, are already.
    pub(super) fn puts_next_aside(&mut self, now: Moment, frame: &Frame, follows: bool) -> bool {
        let speaks = |known: &Connection| known.is_ready() && !known.is_muted();
        let is_outage = !self.connections.iter().flatten().any(speaks);
        if is_outage || self.spaces.producer == Producer::Wanted {
            // Nothing else would pass either.
            self.parked.start_waiting_anew();
            return false;
        }
        let bytes = u32::try_from(frame.bytes()).unwrap_or(u32::MAX);
        let connection = |lane: LaneId| self.connections.get(lane.0 as usize)?.as_ref();
        // Where no broker has room for a batch of others, it would let nothing pass at this moment.
        let others_pass = self.fleet.lanes_with_room(bytes).filter_map(connection).any(speaks);
        let is_possible = others_pass && self.has_room_aside();
        self.parked.gives_up_waiting(now, follows, is_possible)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_that_waits_for_long_is_put_aside() {
        let mut parked = Parked::default();
        let start = Moment(1);
        // A busy topic: each batch has a place before its time is up, however long that goes on.
        for turn in 0..100 {
            let now = start.after(PATIENCE * turn);
            assert!(!parked.gives_up_waiting(now, false, true));
            let almost = now.after(PATIENCE - Duration::from_nanos(1));
            assert!(!parked.gives_up_waiting(almost, false, true));
            parked.start_waiting_anew();
        }
        assert_eq!(parked.poll_timeout(), None);
        assert!(!parked.gives_up_waiting(start, false, true));
        let due = parked.poll_timeout().unwrap();
        assert_eq!(due, start.after(PATIENCE));
        assert!(parked.gives_up_waiting(due, false, true));
        // What comes behind it does not wait first.
        parked.push("topic", 1);
        parked.start_waiting_anew();
        assert!(parked.gives_up_waiting(due, parked.holds("topic"), true));
    }

    #[test]
    fn where_it_would_help_nobody_it_waits_for_an_event() {
        let mut parked = Parked::default();
        let start = Moment(1);
        assert!(!parked.gives_up_waiting(start, false, false));
        let due = parked.poll_timeout().unwrap();
        assert!(!parked.gives_up_waiting(due, false, false));
        assert_eq!(parked.poll_timeout(), None, "or the sender would spin");
        assert!(parked.gives_up_waiting(due, false, true));
    }

    #[test]
    fn what_is_put_aside_elsewhere_takes_room_too() {
        let mut parked = Parked::default();
        assert!(parked.has_room(PARKED_MAX - 1));
        parked.push("topic", 1);
        assert!(!parked.has_room(PARKED_MAX - 1));
        parked.pop("topic");
        assert!(parked.has_room(PARKED_MAX - 1));
        assert!(!parked.has_room(PARKED_MAX));
    }
}
