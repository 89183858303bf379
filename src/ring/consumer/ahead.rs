//! Counts the records that are published and not drained: what was accepted is in the rings while a full spool
//! keeps the consumer from taking it, and the account must include it (I2).
//!
//! Only looks: neither a read position nor a word of the mapping changes. Each frame is looked at once, however
//! often it is asked, since what was counted is remembered until the ring is drained again.

use crate::ids::RingId;
use crate::ring::consumer::Consumer;
use crate::ring::consumer::PAYLOAD;
use crate::ring::consumer::ReadState;
use crate::ring::layout;
use crate::ring::layout::kind;
use crate::ring::position::Word;
use crate::ring::walk::Damaged;

/// How far one ring was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// The read position from which `records` were counted.
    from: u64,
    /// Where the next frame begins, and its chunk.
    next: ReadState,
    records: u64,
}

impl Consumer {
    /// Records that are published and not drained. In a damaged ring those before the damage.
    pub fn waiting_records(&mut self) -> u64 {
        self.grow();
        self.ahead.resize(self.reads.len(), Ahead::default());
        let mut waiting = 0;
        for index in 0..self.reads.len() {
            let (read, mut ahead) = (self.reads[index], self.ahead[index]);
            // Where nothing was counted the ring may have changed hands meanwhile.
            if ahead.from != read.position || ahead.records == 0 {
                ahead = Ahead { from: read.position, next: read, records: 0 };
            }
            // What is damaged is counted as such when it is drained; here it only ends the count.
            let _ends_there = self.count_on(RingId(index as u32), &mut ahead);
            self.ahead[index] = ahead;
            waiting += ahead.records;
        }
        waiting
    }

    fn count_on(&self, ring: RingId, ahead: &mut Ahead) -> Result<(), Damaged> {
        let tail = self.arena.ring_word(ring, layout::RING_TAIL_AT).load_acquire();
        while ahead.next.position < tail {
            let position = ahead.next.position;
            let (chunk, ordinal) = self.find_chunk(ring, ahead.next.chunk, position)?;
            ahead.next.chunk = Some((chunk, ordinal));
            let offset = (position % PAYLOAD) as usize;
            let at = self.arena.description().chunk_at(chunk) + layout::CHUNK_HEADER_BYTES + offset;
            let (part, bytes) = layout::frame_parts(self.arena.memory().word(at).load_acquire());
            let frame = (layout::FRAME_HEAD_BYTES + layout::aligned(bytes)) as u64;
            if frame > PAYLOAD - offset as u64 {
                return Err(Damaged);
            }
            match part {
                kind::WHOLE | kind::FIRST => ahead.records += 1,
                kind::MIDDLE | kind::LAST | kind::PAD => {}
                _damaged => return Err(Damaged),
            }
            ahead.next.position += frame;
        }
        Ok(())
    }
}
