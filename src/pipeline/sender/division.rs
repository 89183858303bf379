//! A batch that is not taken as a whole: which of its records are sent next, and how those before them ended.
//!
//! The parts go from the first record to the last, one after the other. One that is refused is halved until a
//! single record is left, or cut at the record that the answer names; so n guilty records cost some `2 n log2`
//! requests at most. Pure: what a part is made of is the whole of [`Part`], which is stored with its binding before
//! it is sent, so that whoever finds it after a crash cuts the same bytes. Parts beyond that one are then found anew.

use crate::batch::Codec;
use crate::batch::Times;
use crate::spool::Part;

/// In [`Part::rewrite`]: 1 + the codec's number, 0 for the frame's own.
const CODEC_MASK: u16 = 0xf;
/// In [`Part::rewrite`]: what becomes of times.
const TIMES_SHIFT: u16 = 4;
const TIMES_MASK: u16 = 0x3;
const TIMES_AT_MOST: u16 = 1;
const TIMES_ALL: u16 = 2;

/// What a refusal left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A smaller part is sent next.
    Smaller,
    /// The part was a single record: it is guilty.
    Single,
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// Records before this one have ended.
    done: u32,
    rejected: u32,
    /// Where the parts to be tried end, the next one's last; each lies behind `done`, the first is the batch's end.
    ends: Vec<u32>,
    codec: Option<Codec>,
    times: Times,
}

impl Division {
    /// All of a batch's `records`, as one part.
    pub fn whole(records: u32) -> Self {
        Self { done: 0, rejected: 0, ends: vec![records], codec: None, times: Times::Kept }
    }

    /// The division that a stored part is from; `None` for the batch as it is stored. A part that does not fit the
    /// batch, which only damage makes, is taken for the rest of it.
    pub fn restored(records: u32, part: &Part) -> Option<Self> {
        if *part == Part::default() {
            return None;
        }
        let done = part.first.min(records.saturating_sub(1));
        let end = done.saturating_add(part.count);
        let mut ends = vec![records];
        if end > done && end < records {
            ends.push(end);
        }
        let times = match part.rewrite >> TIMES_SHIFT & TIMES_MASK {
            TIMES_AT_MOST => Times::AtMost(part.time_ms),
            TIMES_ALL => Times::All(part.time_ms),
            _kept => Times::Kept,
        };
        let codec = (part.rewrite & CODEC_MASK).checked_sub(1);
        let codec = codec.and_then(|number| Codec::from_number(number as u8));
        Some(Self { done, rejected: part.rejected.min(done), ends, codec, times })
    }

    /// What is sent next.
    pub fn part(&self) -> Part {
        let (times, time_ms) = match self.times {
            Times::Kept => (0, 0),
            Times::AtMost(time) => (TIMES_AT_MOST, time),
            Times::All(time) => (TIMES_ALL, time),
        };
        let codec = self.codec.map_or(0, |codec| 1 + u16::from(codec as u8));
        Part {
            first: self.done,
            count: self.count(),
            rejected: self.rejected,
            rewrite: codec | times << TIMES_SHIFT,
            time_ms,
        }
    }

    /// Records of the next part.
    pub fn count(&self) -> u32 {
        self.ends.last().map_or(0, |end| end - self.done)
    }

    /// Records that have no end yet.
    pub fn left(&self) -> u32 {
        self.ends.first().map_or(0, |end| end - self.done)
    }

    /// The codec that parts are compressed with, where that is not the batch's own.
    pub fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// What becomes of times.
    pub fn times(&self) -> Times {
        self.times
    }

    /// Parts are compressed with `codec` from now on.
    pub fn set_codec(&mut self, codec: Codec) {
        self.codec = Some(codec);
    }

    /// Times are changed from now on.
    pub fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Halves the next part.
    pub fn halve(&mut self) {
        let count = self.count();
        if count > 1 {
            self.ends.push(self.done + count.div_ceil(2));
        }
    }

    /// The part was refused for what is in it; the answer may name a record, counted from the part's first.
    pub fn refuse(&mut self, named: Option<u32>) -> Refused {
        let count = self.count();
        if count <= 1 {
            return Refused::Single;
        }
        match named.filter(|index| *index < count) {
            // The ones before it first, then it alone.
            Some(index) => self.ends.push(self.done + index.max(1)),
            None => self.halve(),
        }
        Refused::Smaller
    }

    /// The part was delivered.
    pub fn deliver(&mut self) {
        self.advance(self.count());
    }

    /// The part's first record is given up.
    pub fn reject_first(&mut self) {
        self.rejected += 1;
        self.advance(1);
    }

    fn advance(&mut self, records: u32) {
        self.done += records;
        while self.ends.len() > 1 && self.ends.last() == Some(&self.done) {
            self.ends.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sends a batch to a judge that refuses every part with one of `guilty` in it; what was delivered, what was
    /// rejected, and how many requests that took. `crashes` at each request restores it from the stored part.
    fn send(records: u32, guilty: &[u32], names: bool, crashes: bool) -> (Vec<u32>, Vec<u32>, u32) {
        let mut division = Division::whole(records);
        let (mut delivered, mut rejected, mut requests) = (Vec::new(), Vec::new(), 0);
        while division.left() > 0 {
            requests += 1;
            let part = division.part();
            if crashes {
                division = Division::restored(records, &part).unwrap();
                assert_eq!(division.part(), part, "the same part is sent again");
            }
            let range = part.first..part.first + part.count;
            match guilty.iter().find(|record| range.contains(record)) {
                None => {
                    delivered.extend(range);
                    division.deliver();
                }
                Some(record) => {
                    let named = names.then(|| record - part.first);
                    if division.refuse(named) == Refused::Single {
                        rejected.push(part.first);
                        division.reject_first();
                    }
                }
            }
        }
        (delivered, rejected, requests)
    }

    proptest! {
        #[test]
        fn the_guilty_are_found_and_the_rest_is_delivered_in_order(
            records in 1u32..200,
            picks in prop::collection::btree_set(0u32..200, 0..20),
            names: bool,
            crashes: bool,
        ) {
            let guilty: Vec<u32> = picks.into_iter().filter(|record| *record < records).collect();
            let (delivered, rejected, requests) = send(records, &guilty, names, crashes);
            let innocent: Vec<u32> =
                (0..records).filter(|record| !guilty.contains(record)).collect();
            prop_assert_eq!(delivered, innocent);
            prop_assert_eq!(&rejected, &guilty);
            // A crash forgets which halves were not sent yet: what is delivered then goes in other pieces.
            let each = 2 * records.ilog2() + 3 + if crashes { records } else { 0 };
            prop_assert!(requests <= 1 + each * rejected.len() as u32, "{requests} requests");
        }

        #[test]
        fn a_part_is_restored_as_it_was_stored(
            first in 0u32..10, count in 1u32..10, rejected in 0u32..10, codec in 0u8..5,
            times in 0usize..3, time: i64,
        ) {
            let mut division = Division::whole(20);
            division.done = first;
            division.rejected = rejected.min(first);
            division.ends.push(first + count);
            division.set_codec(Codec::from_number(codec).unwrap());
            let all = [Times::Kept, Times::AtMost(time), Times::All(time)];
            division.set_times(all[times]);
            prop_assert_eq!(Division::restored(20, &division.part()), Some(division));
        }

        #[test]
        fn no_stored_part_leads_out_of_the_batch(
            records in 1u32.., first: u32, count: u32, rejected: u32, rewrite: u16, time_ms: i64,
        ) {
            let part = Part { first, count, rejected, rewrite, time_ms };
            if let Some(division) = Division::restored(records, &part) {
                let restored = division.part();
                prop_assert!(restored.count >= 1 && division.left() >= restored.count);
                let end = u64::from(restored.first) + u64::from(restored.count);
                prop_assert!(end <= u64::from(records));
                prop_assert!(restored.rejected <= restored.first);
            }
        }
    }

    #[test]
    fn what_is_known_to_be_too_large_is_halved_before_it_is_sent() {
        let mut division = Division::whole(5);
        division.halve();
        division.halve();
        assert_eq!((division.count(), division.left()), (2, 5));
        division.deliver();
        assert_eq!((division.part().first, division.count()), (2, 1));
    }
}
