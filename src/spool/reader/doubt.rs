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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many have ended, and the bounds of what is lost.
    fn split(before: u64, doubtful: Range<u64>, records: Range<u64>) -> (u64, Vec<(u64, u64)>) {
        let (ended, lost) = Ended { before, doubtful }.split(records);
        (ended, lost.into_iter().map(|range| (range.start, range.end)).collect())
    }

    #[test]
    fn what_is_not_there_has_ended_or_is_lost_each_record_once() {
        assert_eq!(split(0, 0..0, 10..20), (0, vec![(10, 20)]), "nothing is known");
        assert_eq!(split(15, 0..0, 10..20), (5, vec![(15, 20)]));
        assert_eq!(split(20, 0..0, 10..20), (10, vec![]));
        assert_eq!(split(99, 12..14, 10..20), (8, vec![(12, 14)]), "in doubt");
        assert_eq!(split(16, 12..14, 10..20), (4, vec![(12, 14), (16, 20)]));
        assert_eq!(
            split(13, 12..18, 10..20),
            (2, vec![(12, 13), (13, 20)]),
            "doubt beyond what ended"
        );
        assert_eq!(split(99, 0..99, 10..20), (0, vec![(10, 20)]));
        assert_eq!(split(99, 30..40, 10..20), (10, vec![]), "doubt elsewhere");
        for before in 0..12 {
            for start in 0..12 {
                for end in start..12 {
                    let (ended, lost) = split(before, start..end, 3..9);
                    let mut is_lost = [false; 12];
                    for record in lost.into_iter().flat_map(|(start, end)| start..end) {
                        assert!(!std::mem::replace(&mut is_lost[record as usize], true), "twice");
                    }
                    for record in 3..9 {
                        let expected = record >= before || (start..end).contains(&record);
                        assert_eq!(is_lost[record as usize], expected, "{before} {start}..{end}");
                    }
                    assert_eq!(ended, 6 - is_lost.iter().filter(|lost| **lost).count() as u64);
                }
            }
        }
    }

    #[test]
    fn missing_records_are_in_doubt_only_where_the_disk_gave_nothing_back() {
        let mut doubt = Doubt::default();
        assert!(!doubt.take(&(1..2)) && doubt.is_none(), "a gap that another cause has");
        doubt.note_unread(7);
        assert!(!doubt.is_none(), "which records these are is still to be told");
        assert!(doubt.take(&(5..8)) && !doubt.take(&(8..9)), "the first gap behind them");
        assert_eq!(doubt.envelope, 5..8);
        doubt.note_unread(9);
        assert!(doubt.take(&(20..21)));
        assert_eq!(doubt.envelope, 5..21, "what an adopter must not take for ended");
    }

    #[test]
    fn records_in_doubt_are_lost_when_their_segment_is_released_and_not_before() {
        let mut doubt = Doubt::default();
        for (segment, records) in [(7, 5..8), (9, 20..21)] {
            doubt.note_unread(segment);
            assert!(doubt.take(&records));
        }
        assert_eq!(doubt.next_lost(6), None);
        assert_eq!(doubt.next_lost(8), Some((7, 5..8)));
        assert_eq!(doubt.next_lost(8), None);
        assert!(!doubt.is_none());
        assert_eq!(doubt.next_lost(9), Some((9, 20..21)));
        assert!(doubt.is_none());
        assert_eq!(doubt.envelope, 5..21, "for ever");
    }
}
