//! The consumer's half of all rings: copies published records out, gives space back once it is committed.
//!
//! Owns the read positions (private) and the consumer's words of each ring (mapped). One thread's. It works on a
//! living arena and, after [`Consumer::adopt`], on the arena of a dead process, of which nothing is trusted: a
//! chain that does not add up is skipped to the ring's tail and counted as damage.

use std::sync::Arc;

use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::ring::arena::Arena;
use crate::ring::layout;
use crate::ring::layout::kind;
use crate::ring::layout::state;
use crate::ring::position::Word;
use crate::ring::slice::Slice;
use crate::ring::walk::Damaged;
pub use crate::ring::walk::Limits;
use crate::ring::walk::note_record;
use crate::ring::walk::walk;

mod ahead;

use crate::ring::consumer::ahead::Ahead;

const PAYLOAD: u64 = layout::CHUNK_PAYLOAD_BYTES as u64;
/// Bytes taken from one ring before the next one has its turn.
const TURN_BYTES: usize = 256 * 1024;

/// How far one ring was read.
#[derive(Clone, Copy, Debug, Default)]
struct ReadState {
    position: u64,
    /// The chunk last read from, with its ordinal; none before the first.
    chunk: Option<(u32, u64)>,
    /// What the last sealed slice said of `position`.
    sealed: u64,
}

/// See the module's head.
pub struct Consumer {
    arena: Arc<Arena>,
    reads: Vec<ReadState>,
    /// What was counted ahead of the read positions.
    ahead: Vec<Ahead>,
    /// The ring that is drained first next time.
    turn: u32,
    /// Whether turns are taken. Not by an adopter: there each slice is a function of the positions alone, so that
    /// whoever adopts the same bytes, however often interrupted, gives each record the same number.
    takes_turns: bool,
}

impl Consumer {
    /// The consumer of a living arena. There must be only one.
    pub fn new(arena: Arc<Arena>) -> Self {
        Self { arena, reads: Vec::new(), ahead: Vec::new(), turn: 0, takes_turns: true }
    }

    /// The consumer of a dead process's arena. `committed` are the positions that its spool has seen:
    /// what lies below them was committed although the ring may not have been told (I3).
    pub fn adopt(arena: Arc<Arena>, committed: &[RingPosition]) -> Self {
        let mut consumer = Self { takes_turns: false, ..Self::new(arena) };
        consumer.grow();
        for (index, read) in consumer.reads.iter_mut().enumerate() {
            let ring = RingId(index as u32);
            read.position = consumer.arena.ring_word(ring, layout::RING_RELEASED_AT).load_acquire();
            read.sealed = read.position;
        }
        for committed in committed {
            if let Some(read) = consumer.reads.get_mut(committed.ring.0 as usize) {
                read.position = read.position.max(committed.position);
            }
        }
        consumer
    }

    /// The arena that it reads.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Appends published records to `slice` until it is full; true where more is waiting.
    pub fn drain(&mut self, slice: &mut Slice, limits: Limits) -> bool {
        self.grow();
        let rings = self.reads.len() as u32;
        loop {
            let mut more = false;
            let mut progress = false;
            for step in 0..rings {
                let ring = RingId((self.turn + step) % rings);
                let before = self.reads[ring.0 as usize].position;
                let tail = self.arena.ring_word(ring, layout::RING_TAIL_AT).load_acquire();
                if tail <= before {
                    continue;
                }
                if slice.bytes() >= limits.bytes || slice.records >= limits.records {
                    if self.takes_turns {
                        self.turn = ring.0;
                    }
                    return true;
                }
                let room = Limits {
                    bytes: limits.bytes.min(slice.bytes() + TURN_BYTES),
                    records: limits.records,
                };
                let known = slice.len_and_records();
                let mut drained = self.drain_ring(ring, tail, slice, room);
                if self.arena.is_lost() {
                    // Some of what was copied may be zeros by now.
                    slice.truncate(known);
                    drained = Err(Damaged);
                }
                if drained.is_err() {
                    let at = self.reads[ring.0 as usize].position;
                    slice.damaged_bytes += tail - at;
                    self.reads[ring.0 as usize].position = tail;
                }
                let after = self.reads[ring.0 as usize].position;
                progress |= after > before;
                more |= after < tail;
            }
            if !more || !progress {
                return more;
            }
        }
    }

    /// Notes in `slice` how far each ring was read since the last seal: the group that holds the slice's
    /// records names these positions in its commit.
    pub fn seal(&mut self, slice: &mut Slice) {
        for (index, read) in self.reads.iter_mut().enumerate() {
            if read.position > read.sealed {
                read.sealed = read.position;
                let ring = RingId(index as u32);
                slice.positions.push(RingPosition { ring, position: read.position });
            }
        }
    }

    /// Gives back the space below `positions`: to be called when the group that holds it is committed.
    pub fn release(&mut self, positions: &[RingPosition]) {
        for RingPosition { ring, position } in positions {
            self.arena.ring_word(*ring, layout::RING_RELEASED_AT).store_release(*position);
            self.free_chunks_below(*ring, *position);
        }
    }

    /// Frees the rings of threads that are gone and whose records are all released.
    pub fn reclaim_closed(&mut self) {
        for index in 0..self.reads.len() {
            let ring = RingId(index as u32);
            let entry = self.arena.ring_word(ring, layout::RING_STATE_AT);
            if entry.load_acquire() != state::CLOSED {
                continue;
            }
            let tail = self.arena.ring_word(ring, layout::RING_TAIL_AT).load_acquire();
            let released = self.arena.ring_word(ring, layout::RING_RELEASED_AT).load_own();
            if tail == released {
                self.free_ring(ring, tail);
            }
        }
    }

    /// How far each ring is published now.
    pub fn tails(&mut self) -> Vec<u64> {
        self.grow();
        let tail = |ring| self.arena.ring_word(RingId(ring), layout::RING_TAIL_AT).load_acquire();
        (0..self.reads.len() as u32).map(tail).collect()
    }

    /// Whether everything below `tails` was drained.
    pub fn has_reached(&self, tails: &[u64]) -> bool {
        self.reads.iter().zip(tails).all(|(read, tail)| read.position >= *tail)
    }

    /// Whether every published record was drained.
    pub fn is_drained(&mut self) -> bool {
        self.grow();
        self.reads.iter().enumerate().all(|(index, read)| {
            let tail = self.arena.ring_word(RingId(index as u32), layout::RING_TAIL_AT);
            tail.load_acquire() <= read.position
        })
    }

    fn grow(&mut self) {
        self.reads.resize(self.arena.rings_used() as usize, ReadState::default());
    }

    /// Copies frames of one ring from its read position up to `tail` or the limits.
    fn drain_ring(
        &mut self,
        ring: RingId,
        tail: u64,
        slice: &mut Slice,
        limits: Limits,
    ) -> Result<(), Damaged> {
        while self.reads[ring.0 as usize].position < tail
            && slice.bytes() < limits.bytes
            && slice.records < limits.records
        {
            let position = self.reads[ring.0 as usize].position;
            let chunk = self.chunk_of(ring, position)?;
            let offset = (position % PAYLOAD) as usize;
            let run = (tail - position).min(PAYLOAD - offset as u64) as usize;
            let start = slice.bytes.len();
            let at = self.arena.description().chunk_at(chunk) + layout::CHUNK_HEADER_BYTES + offset;
            self.arena.memory().read(at, run, &mut slice.bytes);
            let walked = walk(slice, start, limits)?;
            self.reads[ring.0 as usize].position += walked.consumed as u64;
            if walked.starts_fragments {
                self.drain_fragments(ring, tail, slice)?;
            }
        }
        Ok(())
    }

    /// Joins the parts of a record that spans chunks into one whole frame.
    fn drain_fragments(
        &mut self,
        ring: RingId,
        tail: u64,
        slice: &mut Slice,
    ) -> Result<(), Damaged> {
        let start = slice.bytes.len();
        let joined = self.join_fragments(ring, tail, slice);
        let bytes =
            slice.bytes.len() - start - layout::FRAME_HEAD_BYTES.min(slice.bytes.len() - start);
        if joined.is_err() {
            slice.bytes.truncate(start);
            return Err(Damaged);
        }
        let head = layout::frame_head(kind::WHOLE, bytes).to_le_bytes();
        slice.bytes[start..start + layout::FRAME_HEAD_BYTES].copy_from_slice(&head);
        let padded = start + layout::FRAME_HEAD_BYTES + layout::aligned(bytes);
        slice.bytes.resize(padded, 0);
        note_record(slice, start);
        Ok(())
    }

    fn join_fragments(
        &mut self,
        ring: RingId,
        tail: u64,
        slice: &mut Slice,
    ) -> Result<(), Damaged> {
        let mut expected_first = true;
        slice.bytes.extend_from_slice(&[0; layout::FRAME_HEAD_BYTES]);
        let start = slice.bytes.len();
        loop {
            let position = self.reads[ring.0 as usize].position;
            if position >= tail {
                return Err(Damaged);
            }
            let chunk = self.chunk_of(ring, position)?;
            let offset = (position % PAYLOAD) as usize;
            let at = self.arena.description().chunk_at(chunk) + layout::CHUNK_HEADER_BYTES + offset;
            let (part, bytes) = layout::frame_parts(self.arena.memory().word(at).load_acquire());
            let room = layout::CHUNK_PAYLOAD_BYTES - offset - layout::FRAME_HEAD_BYTES;
            let frame = (layout::FRAME_HEAD_BYTES + layout::aligned(bytes)) as u64;
            let fits = bytes <= room
                && slice.bytes.len() - start + bytes <= self.arena.bytes()
                && frame <= tail - position;
            let in_order = (part == kind::FIRST) == expected_first
                && matches!(part, kind::FIRST | kind::MIDDLE | kind::LAST);
            if !fits || !in_order {
                return Err(Damaged);
            }
            self.arena.memory().read(at + layout::FRAME_HEAD_BYTES, bytes, &mut slice.bytes);
            self.reads[ring.0 as usize].position += frame;
            if part == kind::LAST {
                return Ok(());
            }
            expected_first = false;
        }
    }

    /// The chunk that holds `position`, found by following the chain from the last one read.
    fn chunk_of(&mut self, ring: RingId, position: u64) -> Result<u32, Damaged> {
        let known = self.reads[ring.0 as usize].chunk;
        let found = self.find_chunk(ring, known, position)?;
        self.reads[ring.0 as usize].chunk = Some(found);
        Ok(found.0)
    }

    /// As [`Consumer::chunk_of`], from a chunk that is `known` to lie before; with the chunk's ordinal.
    fn find_chunk(
        &self,
        ring: RingId,
        known: Option<(u32, u64)>,
        position: u64,
    ) -> Result<(u32, u64), Damaged> {
        if !position.is_multiple_of(layout::FRAME_ALIGN as u64) {
            return Err(Damaged);
        }
        let ordinal = position / PAYLOAD;
        let mut found = match known {
            Some(found) => found,
            None => {
                let head = self.arena.ring_word(ring, layout::RING_HEAD_CHUNK_AT).load_own();
                let first = self.arena.ring_word(ring, layout::RING_FIRST_CHUNK_AT);
                let start = if head == 0 { first.load_acquire() } else { head };
                self.checked_chunk(ring, start)?
            }
        };
        // Bounded: each step needs the next ordinal, and there are `chunk_count` chunks at most.
        for _ in 0..=self.arena.description().chunk_count {
            if found.1 == ordinal {
                return Ok(found);
            }
            let next = self.arena.chunk_word(found.0, layout::CHUNK_NEXT_AT).load_acquire();
            let following = self.checked_chunk(ring, next)?;
            if found.1.checked_add(1) != Some(following.1) {
                return Err(Damaged);
            }
            found = following;
        }
        Err(Damaged)
    }

    /// A link (index + 1) as a chunk of this ring, with its ordinal.
    fn checked_chunk(&self, ring: RingId, link: u64) -> Result<(u32, u64), Damaged> {
        let index =
            link.checked_sub(1).and_then(|index| u32::try_from(index).ok()).ok_or(Damaged)?;
        if index >= self.arena.description().chunk_count {
            return Err(Damaged);
        }
        let owner = self.arena.chunk_word(index, layout::CHUNK_RING_AT).load_acquire();
        let ordinal = self.arena.chunk_word(index, layout::CHUNK_ORDINAL_AT).load_acquire();
        if owner == u64::from(ring.0) { Ok((index, ordinal)) } else { Err(Damaged) }
    }

    /// Gives back every chunk whose bytes all lie below `position`, but the last of the chain: that
    /// one is the producer's.
    fn free_chunks_below(&mut self, ring: RingId, position: u64) {
        let head_word = self.arena.ring_word(ring, layout::RING_HEAD_CHUNK_AT);
        let mut head = head_word.load_own();
        if head == 0 {
            head = self.arena.ring_word(ring, layout::RING_FIRST_CHUNK_AT).load_acquire();
            head_word.store_release(head);
        }
        while let Ok((chunk, ordinal)) = self.checked_chunk(ring, head) {
            let next = self.arena.chunk_word(chunk, layout::CHUNK_NEXT_AT).load_acquire();
            // A link alone does not say that the producer has left: it may have linked ahead, and a chunk
            // may be full to its last byte. A position beyond the end does: those bytes lie in the next.
            if position <= (ordinal + 1) * PAYLOAD || next == 0 {
                return;
            }
            let read = &mut self.reads[ring.0 as usize];
            if read.chunk == Some((chunk, ordinal)) {
                read.chunk = None;
            }
            head_word.store_release(next);
            self.arena.pool().give(chunk);
            head = next;
        }
    }

    /// Gives back all chunks of a closed, empty ring and frees its entry, at a position where a chunk starts.
    fn free_ring(&mut self, ring: RingId, tail: u64) {
        let word = |at| self.arena.ring_word(ring, at);
        let head = word(layout::RING_HEAD_CHUNK_AT).load_own();
        let mut link =
            if head == 0 { word(layout::RING_FIRST_CHUNK_AT).load_acquire() } else { head };
        while let Ok((chunk, _)) = self.checked_chunk(ring, link) {
            link = self.arena.chunk_word(chunk, layout::CHUNK_NEXT_AT).load_acquire();
            self.arena.pool().give(chunk);
        }
        let position = tail.next_multiple_of(PAYLOAD);
        word(layout::RING_HEAD_CHUNK_AT).store_release(0);
        word(layout::RING_FIRST_CHUNK_AT).store_release(0);
        // Released first: a tail that lies behind it means an empty ring to whoever adopts it.
        word(layout::RING_RELEASED_AT).store_release(position);
        word(layout::RING_TAIL_AT).store_release(position);
        self.reads[ring.0 as usize] = ReadState { position, chunk: None, sealed: position };
        // Last: from here on a thread may claim the entry.
        word(layout::RING_STATE_AT).store_release(state::FREE);
    }
}
