//! Reads a receiver's segment file batch by batch, and tells damage from a torn end.
//!
//! A batch passes if its header and CRC are good; the records in it are not looked at. One that does not pass is
//! stepped over by its length, where a good batch follows there; else the next good batch is searched for byte by byte,
//! so that damage in the middle hides nothing behind it, whatever it hit. Must not know who writes. Invariants:
//! memory is bounded by [`BATCH_BYTES_MAX`] and by what the file holds, a search by `SEARCH_BYTES_MAX`; nothing is
//! changed.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::batch;
use crate::batch::HEADER_BYTES;
use crate::batch::Header;

/// A longer batch is taken for damage. Above what any receiver accepts.
pub const BATCH_BYTES_MAX: usize = 128 << 20;

/// How many bytes one search checks by their CRC at the most. Candidates are rare in what we wrote; a file made for it
/// could hold one at each byte.
const SEARCH_BYTES_MAX: u64 = 1 << 30;

/// How much of the file a search looks at in one piece.
const SEARCH_PIECE_BYTES: u64 = 256 << 10;

/// Bytes in front of which `batch_length` counts: offset and length.
const LENGTH_END: usize = 12;
const LENGTH_START: usize = 8;

/// Where the number of the format stands.
const MAGIC_AT: usize = 16;

/// What stands at a position.
#[derive(Debug)]
pub enum Found<'a> {
    /// A good batch.
    Batch(StoredBatch<'a>),
    /// Bytes that are no good batch, with others behind them.
    Damaged {
        /// Where they begin.
        position: u64,
        /// How many.
        bytes: u64,
    },
    /// The file ends within a batch, or in bytes that are none: what a crash leaves behind.
    Torn {
        /// Where they begin.
        position: u64,
        /// How many.
        bytes: u64,
    },
}

/// A good batch in a file.
#[derive(Clone, Copy, Debug)]
pub struct StoredBatch<'a> {
    /// Where it begins.
    pub position: u64,
    /// Its header.
    pub header: Header,
    /// Its body, as its codec left it.
    pub body: &'a [u8],
}

impl StoredBatch<'_> {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.position + (HEADER_BYTES + self.body.len()) as u64
    }
}

/// A walk over a segment file.
pub struct SegmentReader {
    file: BufReader<File>,
    file_bytes: u64,
    position: u64,
    /// Behind the last record of the good batches so far: offsets only rise.
    next_offset: i64,
    buffer: Vec<u8>,
}

impl SegmentReader {
    /// Opens a file for reading only; what is appended later is not seen.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(path)?;
        let file_bytes = file.metadata()?.len();
        let file = BufReader::with_capacity(256 << 10, file);
        Ok(Self { file, file_bytes, position: 0, next_offset: 0, buffer: Vec::new() })
    }

    /// Goes on at `position`, which must be the beginning of a batch.
    ///
    /// # Errors
    /// When the file cannot be positioned.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        if self.position == position {
            return Ok(());
        }
        self.next_offset = 0;
        self.go(position)
    }

    /// The next batch or damage; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_found(&mut self) -> io::Result<Option<Found<'_>>> {
        let position = self.position;
        let left = self.file_bytes.saturating_sub(position);
        if left == 0 {
            return Ok(None);
        }
        let batch_bytes = self.read_batch(left)?;
        if let Some(header) = batch_bytes.and_then(|_| self.good_header()) {
            self.position += self.buffer.len() as u64;
            self.next_offset = end_offset(&header);
            let body = &self.buffer[HEADER_BYTES..];
            return Ok(Some(Found::Batch(StoredBatch { position, header, body })));
        }
        let next = match batch_bytes {
            Some(bytes) if bytes < left && self.is_good_at(position + bytes)? => {
                Some(position + bytes)
            }
            Some(_) | None => self.search(position + 1)?,
        };
        self.go(next.unwrap_or(self.file_bytes))?;
        Ok(Some(match next {
            Some(next) => Found::Damaged { position, bytes: next - position },
            None => Found::Torn { position, bytes: left },
        }))
    }

    fn go(&mut self, position: u64) -> io::Result<()> {
        self.position = position;
        self.file.seek(SeekFrom::Start(position)).map(|_| ())
    }

    /// The header of what is in the buffer, if that is a good batch.
    fn good_header(&self) -> Option<Header> {
        let (head, body) = self.buffer.split_first_chunk::<HEADER_BYTES>()?;
        let header = Header::decode(head).ok()?;
        batch::verify_crc(head, body).ok()?;
        Some(header)
    }

    /// Whether a good batch begins there, whose offset may come next.
    fn is_good_at(&mut self, position: u64) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(position))?;
        let batch_bytes = self.read_batch(self.file_bytes.saturating_sub(position))?;
        let header = batch_bytes.and_then(|_| self.good_header());
        Ok(header.is_some_and(|header| header.base_offset >= self.next_offset))
    }

    /// Where the first good batch begins, from `from` on.
    fn search(&mut self, from: u64) -> io::Result<Option<u64>> {
        let mut budget = SEARCH_BYTES_MAX;
        let mut piece = Vec::new();
        let mut start = from;
        while start + HEADER_BYTES as u64 <= self.file_bytes {
            piece.clear();
            self.file.seek(SeekFrom::Start(start))?;
            // What is appended meanwhile is not seen.
            let piece_bytes = (self.file_bytes - start).min(SEARCH_PIECE_BYTES);
            (&mut self.file).take(piece_bytes).read_to_end(&mut piece)?;
            let count = (piece.len() + 1).saturating_sub(HEADER_BYTES);
            for (at, head) in (start..).zip(piece.windows(HEADER_BYTES)) {
                let Some(bytes) = self.candidate_bytes(head, self.file_bytes - at) else {
                    continue;
                };
                let Some(rest) = budget.checked_sub(bytes) else { return Ok(None) };
                budget = rest;
                if self.is_good_at(at)? {
                    return Ok(Some(at));
                }
            }
            if count == 0 {
                // The file shrank meanwhile.
                break;
            }
            start += count as u64;
        }
        Ok(None)
    }

    /// How long the batch would be, if a header may stand there.
    fn candidate_bytes(&self, head: &[u8], left: u64) -> Option<u64> {
        if head[MAGIC_AT] != batch::MAGIC_V2 {
            return None;
        }
        let bytes = plausible_bytes(head, left)?;
        let base_offset = i64::from_be_bytes(head[..LENGTH_START].try_into().ok()?);
        (base_offset >= self.next_offset).then_some(bytes)
    }

    /// Reads the batch at the position into the buffer; none if its length is not plausible.
    fn read_batch(&mut self, left: u64) -> io::Result<Option<u64>> {
        if left < HEADER_BYTES as u64 {
            return Ok(None);
        }
        self.buffer.resize(HEADER_BYTES, 0);
        self.file.read_exact(&mut self.buffer)?;
        let Some(batch_bytes) = plausible_bytes(&self.buffer, left) else { return Ok(None) };
        let body_bytes = batch_bytes - HEADER_BYTES as u64;
        (&mut self.file).take(body_bytes).read_to_end(&mut self.buffer)?;
        // A file that shrank meanwhile is torn.
        Ok((self.buffer.len() as u64 == batch_bytes).then_some(batch_bytes))
    }
}

/// How long the batch says that it is, where that can be so.
fn plausible_bytes(head: &[u8], left: u64) -> Option<u64> {
    let length = head.get(LENGTH_START..LENGTH_END)?.try_into().ok()?;
    let batch_bytes = u64::from(u32::from_be_bytes(length)) + LENGTH_END as u64;
    let plausible = HEADER_BYTES as u64..=left.min(BATCH_BYTES_MAX as u64);
    plausible.contains(&batch_bytes).then_some(batch_bytes)
}

fn end_offset(header: &Header) -> i64 {
    header.base_offset.saturating_add(i64::from(header.last_offset_delta)).saturating_add(1)
}
