//! What an arena's header says for recovery: how far records were numbered, which had ended, what the clock was.
//!
//! Owns the order in which these words are stored. The adopter reads them, and believes none without a check.

use std::ops::Range;

use crate::ring::arena::Arena;
use crate::ring::arena::TimeAnchor;
use crate::ring::layout;
use crate::ring::position::Word;

impl Arena {
    /// Records below `next_record` have their numbers; only the consumer calls it, before it releases their space.
    pub fn store_numbered(&self, next_record: u64) {
        self.memory.word(layout::NUMBERED_AT).store_release(next_record);
    }

    /// Records below this were numbered, whether the spool still has them or not.
    pub fn numbered(&self) -> u64 {
        self.memory.word(layout::NUMBERED_AT).load_acquire()
    }

    /// Records below `record` have ended, but maybe those of `doubtful`, which only grows; only the sender calls it.
    pub fn store_ended(&self, record: u64, doubtful: Range<u64>) {
        // The first range is empty until its end is there, and nothing of a range is below `record` before both are.
        self.memory.word(layout::DOUBTFUL_AT).store_release(doubtful.start);
        self.memory.word(layout::DOUBTFUL_AT + 8).store_release(doubtful.end);
        self.memory.word(layout::ENDED_AT).store_release(record);
    }

    /// Records below this were delivered, or given up with their loss reported; and among them, those that may not.
    pub fn ended(&self) -> (u64, Range<u64>) {
        let word = |at| self.memory.word(at).load_acquire();
        let before = word(layout::ENDED_AT);
        (before, word(layout::DOUBTFUL_AT)..word(layout::DOUBTFUL_AT + 8))
    }

    /// Stores a time anchor for recovery; only the consumer calls it.
    pub fn store_time_anchor(&self, anchor: TimeAnchor) {
        let word = |slot: usize, index: usize| {
            self.memory
                .word(layout::CALIBRATION_AT + (slot * layout::CALIBRATION_WORDS + index) * 8)
        };
        let generations = [word(0, 0).load_own(), word(1, 0).load_own()];
        let older = usize::from(generations[0] > generations[1]);
        word(older, 0).store_release(0);
        for (index, value) in anchor.into_iter().enumerate() {
            word(older, index + 1).store_release(value);
        }
        word(older, 0).store_release(generations[0].max(generations[1]) + 1);
    }

    /// The newest time anchor; all zero where none was stored.
    pub fn time_anchor(&self) -> TimeAnchor {
        let word = |slot: usize, index: usize| {
            self.memory
                .word(layout::CALIBRATION_AT + (slot * layout::CALIBRATION_WORDS + index) * 8)
                .load_acquire()
        };
        let newest = usize::from(word(1, 0) > word(0, 0));
        [word(newest, 1), word(newest, 2), word(newest, 3)]
    }
}
