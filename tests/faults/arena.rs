//! What a killed process left in its arena's file: the torn record above a published tail, and what it refused.
//!
//! Reads the bytes by docs/design.md, "The ring arena", on purpose not by the library's own code.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::support::payload::Id;

const STREAMS_END: usize = 4096 + 64 * 256;
const RING_BYTES: usize = 256;
const RELEASED_AT: usize = 128;
const REFUSED_AT: usize = 16;
const REFUSED_WITHOUT_RING_AT: usize = 256;
const REASONS: usize = 8;
const CHUNK_BYTES: usize = 16 * 1024;
const CHUNK_HEAD_BYTES: usize = 64;
const CHUNK_PAYLOAD_BYTES: usize = CHUNK_BYTES - CHUNK_HEAD_BYTES;
/// A frame's head, then the record's before its body, where it has neither key nor attributes.
const BODY_AT: usize = 8 + 16;

/// See the module's head.
pub struct ArenaFile {
    bytes: Vec<u8>,
}

impl ArenaFile {
    /// Those below `root`, at `<name>/<instance>/arena`, whose owner had begun to use them.
    pub fn below(root: &Path) -> Vec<Self> {
        let entries = |dir: &Path| -> Vec<PathBuf> {
            let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
            entries.flatten().map(|entry| entry.path()).collect()
        };
        let slots = entries(root).into_iter().flat_map(|name| entries(&name));
        slots
            .filter_map(|slot| fs::read(slot.join("arena")).ok())
            .filter(|bytes| bytes.starts_with(b"LDRING01"))
            .map(|bytes| Self { bytes })
            .collect()
    }

    /// Rings above whose tail the record stands that its thread had not published: its first bytes or all of them.
    ///
    /// `next` says, by thread, the numbers that this record may have.
    pub fn torn(&self, run: u32, accepted: &[u64]) -> u64 {
        let heads: Vec<_> = (0u16..)
            .zip(accepted)
            .flat_map(|(thread, next)| {
                [*next, *next + 1].map(|sequence| Id { run, thread, sequence })
            })
            .map(Id::head)
            .collect();
        let is_torn = |ring: &usize| {
            let Some(above) = self.above_tail(*ring) else { return false };
            let body = above.get(BODY_AT..).unwrap_or_default();
            heads.iter().any(|head| body.starts_with(head))
        };
        (0..self.rings()).filter(is_torn).count() as u64
    }

    /// Records refused, over all rings and reasons.
    pub fn refused(&self) -> u64 {
        let of_rings = (0..self.rings()).map(|ring| self.ring(ring) + REFUSED_AT);
        of_rings
            .chain([REFUSED_WITHOUT_RING_AT])
            .flat_map(|at| (0..REASONS).map(move |reason| at + 8 * reason))
            .map(|at| self.word(at))
            .sum()
    }

    /// The bytes from a ring's published tail to the end of its chunk.
    fn above_tail(&self, ring: usize) -> Option<&[u8]> {
        let at = self.ring(ring);
        let (tail, released) = (self.word(at), self.word(at + RELEASED_AT));
        let (ordinal, within) =
            (tail / CHUNK_PAYLOAD_BYTES as u64, tail as usize % CHUNK_PAYLOAD_BYTES);
        if tail == 0 && released == 0 {
            return None;
        }
        let chunk = self
            .chunks()
            .find(|chunk| self.word(*chunk) == ring as u64 && self.word(chunk + 8) == ordinal)?;
        let payload = chunk + CHUNK_HEAD_BYTES;
        self.bytes.get(payload + within..payload + CHUNK_PAYLOAD_BYTES)
    }

    fn rings(&self) -> usize {
        self.half_word(64 + 24)
    }

    fn ring(&self, ring: usize) -> usize {
        STREAMS_END + ring * RING_BYTES
    }

    fn chunks(&self) -> impl Iterator<Item = usize> {
        let first = self.ring(self.rings()).next_multiple_of(4096);
        (0..self.half_word(64 + 28)).map(move |chunk| first + chunk * CHUNK_BYTES)
    }

    fn half_word(&self, at: usize) -> usize {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }
}
