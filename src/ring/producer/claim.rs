//! Records that are filled in place: within one call, or over two that the application makes.
//!
//! Owns the frame that is not published yet. Invariants: at most one claim of a ring is open, and while it is,
//! nothing else is written to the ring; a claim that is dropped or forgotten leaves no trace.

use std::fmt;

use crate::record::Record;
use crate::record::Severity;
use crate::ring::layout;
use crate::ring::layout::kind;
use crate::ring::producer::Producer;
use crate::ring::producer::Refusal;
use crate::ring::raw::Cursor;
use crate::ring::raw::Mark;

/// A claim that outlives the call which made it. Meanwhile the producer's own cursor has no room, so that the
/// fast path needs no check: what would write into the claim goes the slow way, and is refused there.
pub(super) struct OpenClaim {
    /// At the frame's head.
    start: Mark,
    /// At the body.
    cursor: Cursor,
    head_bytes: usize,
    body_bytes_max: usize,
}

impl Producer {
    /// Claims room for a record of at most `bytes_max` encoded bytes in one chunk, to be filled in place.
    ///
    /// Refused as too large where it cannot fit one chunk; the caller then formats elsewhere.
    pub fn claim_in_place(
        &mut self,
        severity: Severity,
        bytes_max: usize,
    ) -> Result<Claim<'_>, Refusal> {
        if self.open.is_some() {
            return Err(Refusal::Reentrant);
        }
        if !self.arena.admits(severity) {
            return Err(Refusal::SpoolFull);
        }
        let frame_bytes = layout::FRAME_HEAD_BYTES + layout::aligned(bytes_max);
        if bytes_max > self.arena.record_bytes_max() || frame_bytes > layout::CHUNK_PAYLOAD_BYTES {
            return Err(Refusal::TooLarge);
        }
        if frame_bytes > self.cursor.remaining() {
            self.pad_and_advance(severity)?;
        }
        Ok(Claim { producer: self, bytes_max, frame: None })
    }

    /// Claims room for `record`, whose body of at most `body_bytes_max` bytes is written by the caller through
    /// the pointer; until [`Producer::finish`] the thread's other records are refused as reentrant.
    pub fn begin(
        &mut self,
        record: &Record<'_>,
        body_bytes_max: usize,
    ) -> Result<*mut u8, Refusal> {
        if !record.fits_its_fields() {
            return Err(Refusal::Invalid);
        }
        let head_bytes = record.encoded_bytes();
        let bytes_max = head_bytes.saturating_add(body_bytes_max).min(u32::MAX as usize);
        let mut claim = self.claim_in_place(record.severity, bytes_max)?;
        let start = claim.producer.cursor.mark();
        record.encode(|piece| claim.put(piece).expect("the claim has room for the head"));
        // The claim ends here without a trace: what follows is open until `finish`.
        claim.frame = None;
        drop(claim);
        let cursor = std::mem::replace(&mut self.cursor, Cursor::empty());
        let body = cursor.as_ptr();
        self.open = Some(OpenClaim { start, cursor, head_bytes, body_bytes_max });
        Ok(body)
    }

    /// Ends the claim that [`Producer::begin`] gave: publishes the first `body_bytes` of its body, or with `None`
    /// forgets it. Refused as invalid where `body` is not that claim or has no room for so many bytes.
    pub fn finish(&mut self, body: *const u8, body_bytes: Option<usize>) -> Result<(), Refusal> {
        let is_valid = |open: &OpenClaim| {
            open.cursor.as_ptr().addr() == body.addr()
                && body_bytes.is_none_or(|bytes| bytes <= open.body_bytes_max)
        };
        let Some(open) = self.open.take_if(|open| is_valid(open)) else {
            return Err(Refusal::Invalid);
        };
        self.cursor = open.cursor;
        self.cursor.rewind(open.start);
        if let Some(body_bytes) = body_bytes {
            let bytes = open.head_bytes + body_bytes;
            self.publish_in_place(bytes);
        }
        Ok(())
    }

    /// Whether somebody holds a pointer into this ring.
    pub fn has_open_claim(&self) -> bool {
        self.open.is_some()
    }

    /// Writes the head of a frame of `bytes` that lie behind it already, and publishes it.
    fn publish_in_place(&mut self, bytes: usize) {
        self.cursor.put(&layout::frame_head(kind::WHOLE, bytes).to_le_bytes());
        self.cursor.skip(layout::aligned(bytes));
        self.publish(layout::FRAME_HEAD_BYTES + layout::aligned(bytes));
    }
}

/// Room in a chunk that is filled in place. Dropped without [`Claim::commit`], nothing was logged.
#[must_use = "a claim that is not committed logs nothing"]
pub struct Claim<'a> {
    producer: &'a mut Producer,
    bytes_max: usize,
    /// Where the frame starts, and the record's bytes so far; set by the first piece.
    frame: Option<(Mark, usize)>,
}

/// The claim has no room left for a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimFull;

impl Claim<'_> {
    /// Appends a piece of the encoded record.
    pub fn put(&mut self, piece: &[u8]) -> Result<(), ClaimFull> {
        let cursor = &mut self.producer.cursor;
        let (_, bytes) = self.frame.get_or_insert_with(|| {
            let mark = cursor.mark();
            cursor.skip(layout::FRAME_HEAD_BYTES);
            (mark, 0)
        });
        if piece.len() > self.bytes_max - *bytes {
            return Err(ClaimFull);
        }
        cursor.put(piece);
        *bytes += piece.len();
        Ok(())
    }

    /// Publishes what was put as one record.
    pub fn commit(mut self) {
        if let Some((mark, bytes)) = self.frame.take() {
            self.producer.cursor.rewind(mark);
            self.producer.publish_in_place(bytes);
        }
    }
}

impl fmt::Write for Claim<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some((mark, _)) = self.frame.take() {
            self.producer.cursor.rewind(mark);
        }
    }
}
