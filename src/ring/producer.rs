//! The producer's half of a ring: claim, fill, commit. One thread's, and never blocks.
//!
//! Owns the write cursor and the ring's producer words. The fast path is: does the record fit the chunk? write,
//! one release-store. Everything else (a new chunk, a record that spans chunks) is off that path.
//! Invariant: a call either publishes one whole record or leaves `tail` as it was and says why.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::ids::RingId;
use crate::record::Record;
use crate::record::Severity;
use crate::ring::arena::Arena;
use crate::ring::layout;
use crate::ring::layout::kind;
use crate::ring::layout::state;
use crate::ring::position::Word;
use crate::ring::raw::Cursor;
use crate::sys::faults;
use crate::sys::faults::Canary;
use crate::sys::fork;

mod claim;

use crate::ring::producer::claim::OpenClaim;

/// Why a record was not accepted; each has its counter in the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Refusal {
    /// No chunk is free for this severity.
    RingFull = 0,
    /// Larger than `record.bytes_max`, or than the arena.
    TooLarge = 1,
    /// The client is closed.
    Closed = 2,
    /// Logged from inside a log call of the same thread.
    Reentrant = 3,
    /// More threads than the directory has entries.
    TooManyThreads = 4,
    /// A length does not fit its field, or the stream is unknown.
    Invalid = 5,
    /// The spool is nearly full, and the record is below WARN.
    SpoolFull = 6,
    /// Whoever drains the rings could not be started.
    Starting = 7,
}

impl Refusal {
    /// Every reason, in the order of its counter.
    pub const ALL: [Refusal; layout::REFUSAL_REASONS_MAX] = [
        Refusal::RingFull,
        Refusal::TooLarge,
        Refusal::Closed,
        Refusal::Reentrant,
        Refusal::TooManyThreads,
        Refusal::Invalid,
        Refusal::SpoolFull,
        Refusal::Starting,
    ];

    /// The name under which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::RingFull => "ring_full",
            Refusal::TooLarge => "record_too_large",
            Refusal::Closed => "closed",
            Refusal::Reentrant => "reentrant",
            Refusal::TooManyThreads => "too_many_threads",
            Refusal::Invalid => "invalid",
            Refusal::SpoolFull => "spool_full",
            Refusal::Starting => "starting",
        }
    }
}

/// See the module's head. Dropping it closes the ring: the consumer drains what is left, then frees it.
pub struct Producer {
    arena: Arc<Arena>,
    ring: RingId,
    cursor: Cursor,
    /// The process that claimed the ring: a forked child must not touch it.
    generation: u64,
    /// Logical position of the cursor; at most one padding or aborted claim above the published tail.
    position: u64,
    chunk: Option<u32>,
    open: Option<OpenClaim>,
}

impl Producer {
    /// Claims a ring of `arena` for the calling thread; `None` where all are taken.
    pub fn claim(arena: Arc<Arena>) -> Option<Self> {
        let ring = arena.claim_ring()?;
        let position = arena.ring_word(ring, layout::RING_TAIL_AT).load_own();
        let generation = fork::generation();
        let cursor = Cursor::empty();
        Some(Self { arena, ring, generation, cursor, position, chunk: None, open: None })
    }

    /// Whether its client is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.arena.is_closed()
    }

    /// The ring's index.
    pub fn ring(&self) -> RingId {
        self.ring
    }

    /// Writes and publishes one record: no system call, lock or allocation; two memory copies for a plain text.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), Refusal> {
        let bytes = record.encoded_bytes();
        let frame_bytes = layout::FRAME_HEAD_BYTES + layout::aligned(bytes);
        // While the spool is nearly full no record is short enough: one load decides both.
        if bytes > self.arena.unchecked_bytes_max() || frame_bytes > self.cursor.remaining() {
            return self.push_slowly(record, bytes);
        }
        self.push_whole(record, bytes, frame_bytes);
        Ok(())
    }

    /// Counts a refusal of this thread; returns it for the caller to pass on.
    #[cold]
    pub fn count_refused(&mut self, reason: Refusal) -> Refusal {
        let word = self.word(layout::RING_REFUSED_AT + reason as usize * 8);
        word.store_release(word.load_own() + 1);
        reason
    }

    #[inline(always)]
    fn push_whole(&mut self, record: &Record<'_>, bytes: usize, frame_bytes: usize) {
        let is_too_early = faults::is_broken(Canary::ReleaseStore);
        if is_too_early {
            self.publish(frame_bytes);
        }
        let cursor = &mut self.cursor;
        cursor.put(&layout::frame_head(kind::WHOLE, bytes).to_le_bytes());
        record.encode(|piece| cursor.put(piece));
        cursor.skip(frame_bytes - layout::FRAME_HEAD_BYTES - bytes);
        if !is_too_early {
            self.publish(frame_bytes);
        }
    }

    #[inline(always)]
    fn publish(&mut self, bytes: usize) {
        self.position += bytes as u64;
        self.word(layout::RING_TAIL_AT).store_release(self.position);
    }

    #[cold]
    fn push_slowly(&mut self, record: &Record<'_>, bytes: usize) -> Result<(), Refusal> {
        if self.open.is_some() {
            return Err(Refusal::Reentrant);
        }
        if !self.arena.admits(record.severity) {
            return Err(Refusal::SpoolFull);
        }
        if bytes > self.arena.record_bytes_max() {
            return Err(Refusal::TooLarge);
        }
        if !record.fits_its_fields() {
            return Err(Refusal::Invalid);
        }
        let frame_bytes = layout::FRAME_HEAD_BYTES + layout::aligned(bytes);
        if frame_bytes <= layout::CHUNK_PAYLOAD_BYTES {
            if frame_bytes > self.cursor.remaining() {
                self.pad_and_advance(record.severity)?;
            }
            self.push_whole(record, bytes, frame_bytes);
            return Ok(());
        }
        self.push_fragments(record, bytes)
    }

    /// Writes a record that spans chunks: all chunks first, then the parts, then one publication.
    fn push_fragments(&mut self, record: &Record<'_>, bytes: usize) -> Result<(), Refusal> {
        const PART_BYTES: usize = layout::CHUNK_PAYLOAD_BYTES - layout::FRAME_HEAD_BYTES;
        let needed = bytes.div_ceil(PART_BYTES) as u32 + 1;
        let free = self.arena.pool().free();
        if needed.saturating_add(self.reserve_for(record.severity)) > free {
            self.wake_if_half_used();
            let ever = self.arena.pool().count().saturating_sub(self.reserve_for(record.severity));
            return Err(if needed > ever { Refusal::TooLarge } else { Refusal::RingFull });
        }
        // A first part needs room for its head and something behind it.
        if self.cursor.remaining() < 2 * layout::FRAME_HEAD_BYTES {
            self.pad_and_advance(record.severity)?;
        }
        self.link_ahead(record.severity, bytes)?;
        let mut rest = bytes;
        let mut part_rest = self.begin_part(kind::FIRST, rest);
        record.encode(|mut piece| {
            while !piece.is_empty() {
                if part_rest == 0 {
                    self.enter_linked_chunk();
                    let last = rest <= PART_BYTES;
                    part_rest = self.begin_part(if last { kind::LAST } else { kind::MIDDLE }, rest);
                }
                let (now, later) = piece.split_at(piece.len().min(part_rest));
                self.cursor.put(now);
                part_rest -= now.len();
                rest -= now.len();
                piece = later;
            }
        });
        let padding = self.cursor.remaining() % layout::FRAME_ALIGN;
        self.cursor.skip(padding);
        let at = (layout::CHUNK_PAYLOAD_BYTES - self.cursor.remaining()) as u64;
        self.position = self.ordinal_of_chunk() * layout::CHUNK_PAYLOAD_BYTES as u64 + at;
        self.publish(0);
        Ok(())
    }

    /// Writes the head of a part that takes what is left of the chunk, or of the record.
    fn begin_part(&mut self, kind: u32, rest: usize) -> usize {
        let room = self.cursor.remaining() - layout::FRAME_HEAD_BYTES;
        let part = rest.min(room);
        self.cursor.put(&layout::frame_head(kind, part).to_le_bytes());
        part
    }

    /// Links as many chunks behind the current one as a record of `bytes` will need.
    fn link_ahead(&mut self, severity: Severity, bytes: usize) -> Result<(), Refusal> {
        let part_bytes = layout::CHUNK_PAYLOAD_BYTES - layout::FRAME_HEAD_BYTES;
        let first = self.cursor.remaining() - layout::FRAME_HEAD_BYTES;
        let mut last = self.chunk;
        for _ in 0..bytes.saturating_sub(first).div_ceil(part_bytes) {
            last = Some(self.next_chunk_of(last, severity)?);
        }
        Ok(())
    }

    /// The chunk behind `chunk`: the one linked already, or a new one, linked now.
    fn next_chunk_of(&mut self, chunk: Option<u32>, severity: Severity) -> Result<u32, Refusal> {
        let (link, ordinal) = match chunk {
            Some(chunk) => (
                self.arena.chunk_word(chunk, layout::CHUNK_NEXT_AT),
                self.arena.chunk_word(chunk, layout::CHUNK_ORDINAL_AT).load_own() + 1,
            ),
            None => (
                self.word(layout::RING_FIRST_CHUNK_AT),
                self.position / layout::CHUNK_PAYLOAD_BYTES as u64,
            ),
        };
        if let Some(linked) = (link.load_own() as u32).checked_sub(1) {
            return Ok(linked);
        }
        let reserve = self.reserve_for(severity);
        let Some(next) = self.arena.pool().take(reserve) else {
            self.arena.wake_consumer();
            return Err(Refusal::RingFull);
        };
        self.arena.chunk_word(next, layout::CHUNK_RING_AT).store_release(u64::from(self.ring.0));
        self.arena.chunk_word(next, layout::CHUNK_ORDINAL_AT).store_release(ordinal);
        self.arena.chunk_word(next, layout::CHUNK_NEXT_AT).store_release(0);
        // Last, so that whoever follows the link finds the chunk's header whole.
        link.store_release(u64::from(next) + 1);
        self.wake_if_half_used();
        Ok(next)
    }

    /// Fills the rest of the chunk with padding and goes to the next one.
    #[cold]
    fn pad_and_advance(&mut self, severity: Severity) -> Result<(), Refusal> {
        let next = self.next_chunk_of(self.chunk, severity)?;
        let rest = self.cursor.remaining();
        if rest >= layout::FRAME_HEAD_BYTES {
            let head = layout::frame_head(kind::PAD, rest - layout::FRAME_HEAD_BYTES);
            self.cursor.put(&head.to_le_bytes());
        }
        self.position += rest as u64;
        self.enter(next);
        Ok(())
    }

    /// Goes on in the chunk that was linked behind the current one. Where the link is gone, because somebody truncated
    /// the arena's file, all of it is lost, and our own chunk is as good as any to write to.
    fn enter_linked_chunk(&mut self) {
        let chunk = self.chunk.expect("a record that spans chunks begins in one");
        let link = self.arena.chunk_word(chunk, layout::CHUNK_NEXT_AT).load_own() as u32;
        self.enter(link.checked_sub(1).unwrap_or(chunk));
    }

    /// Moves the cursor to the start of a chunk of this ring.
    fn enter(&mut self, next: u32) {
        let at = self.arena.description().chunk_at(next) + layout::CHUNK_HEADER_BYTES;
        self.cursor = self.arena.memory().cursor(at, layout::CHUNK_PAYLOAD_BYTES);
        self.chunk = Some(next);
    }

    fn ordinal_of_chunk(&self) -> u64 {
        self.chunk
            .map_or(0, |chunk| self.arena.chunk_word(chunk, layout::CHUNK_ORDINAL_AT).load_own())
    }

    fn reserve_for(&self, severity: Severity) -> u32 {
        if severity >= Severity::Warn { 0 } else { self.arena.reserve_chunks() }
    }

    fn wake_if_half_used(&self) {
        if self.arena.is_half_used() {
            self.arena.wake_consumer();
        }
    }

    #[inline(always)]
    fn word(&self, at: usize) -> &AtomicU64 {
        self.arena.ring_word(self.ring, at)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            // A forked child's copy: the ring is its parent's, who goes on with it.
            return;
        }
        // Release: the consumer that sees CLOSED sees the last tail too.
        self.word(layout::RING_STATE_AT).store_release(state::CLOSED);
    }
}
