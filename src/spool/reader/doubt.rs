//! Records that the disk does not give back to the process that wrote them: lost for it, but not for its files.
//!
//! A disk that fails as a whole may do well again before the next process reads the same files. So such records are
//! named as lost only when their segment is released, since then nobody will look for them any more; until then an
//! adopter finds them, or names them. Owns which they are.

use std::collections::VecDeque;
use std::ops::Range;

/// What of an instance's records has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// All below this one have, but those of `doubtful`; and none of them is a loss that only its process knew of.
    pub before: u64,
    /// Among them are some that may not have.
    pub doubtful: Range<u64>,
}

impl Ended {
    /// Divides records that are not there: those that had ended, and the rest, which is lost.
    pub fn split(&self, records: Range<u64>) -> (u64, Vec<Range<u64>>) {
        let clamp = |record: u64| record.clamp(records.start, records.end);
        let before = clamp(self.before);
        let doubtful = clamp(self.doubtful.start).min(before)..clamp(self.doubtful.end).min(before);
        let lost = [doubtful, before..records.end].into_iter();
        let lost: Vec<_> = lost.filter(|range| !range.is_empty()).collect();
        let count: u64 = lost.iter().map(|range| range.end - range.start).sum();
        (records.end - records.start - count, lost)
    }
}

/// What was not given back so far.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// The segment of bytes that were not given back, until the next good item tells which records they were.
    unread_in: Option<u64>,
    /// Records not named as lost yet, with the segment they are in. One entry per segment at most.
    unnamed: VecDeque<(u64, Range<u64>)>,
    /// From the first such record to the last one, for ever.
    pub envelope: Range<u64>,
}

impl Doubt {
    /// Bytes of `segment` were not given back.
    pub fn note_unread(&mut self, segment: u64) {
        self.unread_in = Some(segment);
    }

    /// These records are missing; true where they are in bytes that were not given back.
    pub fn take(&mut self, records: &Range<u64>) -> bool {
        let Some(segment) = self.unread_in.take() else { return false };
        let known = std::mem::replace(&mut self.envelope, records.clone());
        if !known.is_empty() {
            self.envelope = known.start.min(records.start)..known.end.max(records.end);
        }
        self.unnamed.push_back((segment, records.clone()));
        true
    }

    /// The next records whose segment is released: nobody will find them any more.
    pub fn next_lost(&mut self, released_through: u64) -> Option<(u64, Range<u64>)> {
        self.unnamed.pop_front_if(|(segment, _)| *segment <= released_through)
    }

    /// Whether nothing waits to be found or named.
    pub fn is_none(&self) -> bool {
        self.unread_in.is_none() && self.unnamed.is_empty()
    }
}
