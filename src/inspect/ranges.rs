//! Sets of record numbers as ranges: what is covered, how often, and what is missing.

use std::ops::Range;

/// Ranges in the order in which they were added; they may overlap.
#[derive(Clone, Debug, Default)]
pub struct Ranges(Vec<Range<u64>>);

/// What ranges cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Covered numbers as disjoint, rising ranges.
    pub covered: Vec<Range<u64>>,
    /// Numbers covered, each counted once.
    pub unique: u64,
    /// How often a number was covered beyond the first time, summed.
    pub repeated: u64,
}

impl Ranges {
    /// Adds `count` numbers from `first`; what lies beyond 2^64 - 1 is left out.
    pub fn add(&mut self, first: u64, count: u64) {
        let range = first..first.saturating_add(count);
        // Batches come in order nearly always: one range instead of millions.
        match self.0.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) | None => self.0.push(range),
        }
    }

    /// What is covered by all that was added.
    pub fn coverage(&self) -> Coverage {
        let mut sorted: Vec<_> = self.0.iter().filter(|range| !range.is_empty()).cloned().collect();
        sorted.sort_by_key(|range| (range.start, range.end));
        let mut coverage = Coverage::default();
        for range in sorted {
            let end_before = coverage.covered.last().map_or(0, |last: &Range<u64>| last.end);
            let fresh_from = range.start.max(end_before);
            let fresh = range.end.saturating_sub(fresh_from);
            coverage.unique += fresh;
            coverage.repeated += range.end - range.start - fresh;
            match coverage.covered.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                Some(_) | None => coverage.covered.push(range),
            }
        }
        coverage
    }
}

impl Coverage {
    /// The holes between 0 and the highest number covered.
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let starts = std::iter::once(0).chain(self.covered.iter().map(|range| range.end));
        starts
            .zip(&self.covered)
            .map(|(end_of_before, range)| end_of_before..range.start)
            .filter(|gap| !gap.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_and_gaps_agree_with_counting_one_by_one() {
        use proptest::prelude::*;
        proptest!(|(ranges in proptest::collection::vec((0u64..200, 0u64..20), 0..30))| {
            let mut counts = [0u64; 256];
            let mut set = Ranges::default();
            for (first, count) in &ranges {
                set.add(*first, *count);
                for number in *first..first + count {
                    counts[number as usize] += 1;
                }
            }
            let coverage = set.coverage();
            let present = counts.iter().filter(|count| **count > 0).count();
            prop_assert_eq!(coverage.unique, present as u64);
            prop_assert_eq!(coverage.unique + coverage.repeated, counts.iter().sum::<u64>());
            let highest = counts.iter().rposition(|count| *count > 0).map_or(0, |n| n + 1);
            let missing: Vec<_> =
                (0..highest as u64).filter(|n| counts[*n as usize] == 0).collect();
            let gaps: Vec<_> = coverage.gaps().into_iter().flatten().collect();
            prop_assert_eq!(gaps, missing);
        });
    }

    #[test]
    fn the_end_of_the_numbers_does_not_overflow() {
        let mut set = Ranges::default();
        set.add(u64::MAX - 1, 10);
        set.add(0, 1);
        assert_eq!(set.coverage().unique, 2);
        assert_eq!(set.coverage().gaps(), vec![1..u64::MAX - 1]);
    }
}
