//! Which batches of our own spool were read, and which of those have ended.
//!
//! One number would not do for whoever waits for single batches (a relay's producers): a batch that nobody takes
//! would hold back all that is delivered behind it. So what changed is told too.

use std::collections::BTreeMap;

/// See the module's head.
#[derive(Debug, Default)]
pub struct OwnBatches {
    /// Frames of each batch that were read and have not ended.
    unresolved: BTreeMap<u64, u32>,
    /// The newest batch that was read.
    taken: Option<u64>,
    /// The newest one up to which all were read.
    taken_in_order: Option<u64>,
    /// Batches that were read or have ended since that was told.
    changed: Vec<u64>,
}

impl OwnBatches {
    /// A frame of the batch was read.
    pub fn take(&mut self, batch: u64) {
        *self.unresolved.entry(batch).or_default() += 1;
        self.taken = self.taken.max(Some(batch));
        self.changed.push(batch);
    }

    /// A frame of the batch was read, and all before it.
    pub fn take_in_order(&mut self, batch: u64) {
        self.take(batch);
        self.taken_in_order = self.taken_in_order.max(Some(batch));
    }

    /// All before the newest one were read.
    pub fn note_order(&mut self) {
        self.taken_in_order = self.taken;
    }

    /// A frame of the batch has ended.
    pub fn resolve(&mut self, batch: u64) {
        let Some(count) = self.unresolved.get_mut(&batch) else { return };
        *count -= 1;
        if *count == 0 {
            self.unresolved.remove(&batch);
            self.changed.push(batch);
        }
    }

    /// Up to which batch all were read; `skips` says whether some are passed over now.
    pub fn taken(&self, skips: bool) -> Option<u64> {
        if skips { self.taken_in_order } else { self.taken }
    }

    /// Up to which batch all have ended; `skips` as for [`OwnBatches::taken`].
    pub fn resolved_through(&self, skips: bool) -> Option<u64> {
        let taken = self.taken(skips);
        match self.unresolved.first_key_value() {
            Some((first, _)) => first.checked_sub(1).min(taken),
            None => taken,
        }
    }

    /// What changed since the last call: each batch, and whether it is unresolved.
    pub fn take_changes(&mut self) -> impl Iterator<Item = (u64, bool)> {
        let Self { unresolved, changed, .. } = self;
        changed.drain(..).map(|batch| (batch, unresolved.contains_key(&batch)))
    }
}
