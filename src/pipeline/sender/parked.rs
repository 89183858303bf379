//! Batches whose topic takes nothing now: put aside, so that those of other topics behind them go on.
//!
//! A topic may not exist yet, or not let us write. Its batches wait here in their order, up to a bound over all topics:
//! beyond it the spool is read no further, until the topic comes or the quota makes its oldest batches give
//! way. Owns the order; the flights own the batches.

use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Batches put aside at most, over all topics: some 8 MiB of memory.
const PARKED_MAX: usize = 1 << 14;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Parked {
    by_topic: BTreeMap<String, VecDeque<u64>>,
    count: usize,
}

impl Parked {
    /// Whether batches of `topic` wait.
    pub fn holds(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Whether another batch may wait.
    pub fn has_room(&self) -> bool {
        self.count < PARKED_MAX
    }

    /// The topics that batches wait for.
    pub fn topics(&self) -> Vec<String> {
        self.by_topic.keys().cloned().collect()
    }

    /// Has a batch wait behind those of its topic.
    pub fn push(&mut self, topic: &str, token: u64) {
        self.count += 1;
        match self.by_topic.get_mut(topic) {
            Some(tokens) => tokens.push_back(token),
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
