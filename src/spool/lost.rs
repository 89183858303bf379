//! Which records of an instance were lost, and why: ranges that outlive the process in its ledger.
//!
//! Knows nothing of files. Invariant: at most [`RANGES_MAX`] ranges, neighbours of one cause merged; beyond it the
//! oldest one is forgotten, and its records are only counted.

use std::ops::Range;

use crate::spool::types::DropReason;

/// Ranges that are remembered.
pub const RANGES_MAX: usize = 64;

/// Records that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Their numbers within the instance.
    pub records: Range<u64>,
    /// Why they were given up; none where they were unreadable.
    pub reason: Option<DropReason>,
}

/// See the module's head. The one that grew last is the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostRanges(Vec<Lost>);

impl LostRanges {
    /// Adds one, together with those that it touches.
    pub fn add(&mut self, mut lost: Lost) {
        if lost.records.is_empty() {
            return;
        }
        self.0.retain(|known| {
            let touches = known.reason == lost.reason
                && known.records.start <= lost.records.end
                && lost.records.start <= known.records.end;
            if touches {
                let start = known.records.start.min(lost.records.start);
                lost.records = start..known.records.end.max(lost.records.end);
            }
            !touches
        });
        if self.0.len() == RANGES_MAX {
            self.0.remove(0);
        }
        self.0.push(lost);
    }

    /// Adds all of another one.
    pub fn extend(&mut self, others: &LostRanges) {
        others.iter().cloned().for_each(|lost| self.add(lost));
    }

    /// The oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Lost> {
        self.0.iter()
    }
}

impl IntoIterator for LostRanges {
    type Item = Lost;
    type IntoIter = std::vec::IntoIter<Lost>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(records: Range<u64>) -> Lost {
        Lost { records, reason: Some(DropReason::Quota) }
    }

    #[test]
    fn neighbours_of_one_cause_are_merged() {
        let mut ranges = LostRanges::default();
        for records in [10..20, 30..40, 5..5, 20..30] {
            ranges.add(lost(records));
        }
        ranges.add(Lost { reason: None, ..lost(40..41) });
        let expected = [lost(10..40), Lost { reason: None, ..lost(40..41) }];
        assert_eq!(ranges.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_oldest_ranges_are_forgotten() {
        let mut ranges = LostRanges::default();
        (0..1000).for_each(|number| ranges.add(lost(2 * number..2 * number + 1)));
        let first = 2 * (1000 - RANGES_MAX as u64);
        assert_eq!(ranges.iter().count(), RANGES_MAX);
        assert_eq!(ranges.iter().next(), Some(&lost(first..first + 1)));
    }
}
