//! Reads a receiver's segment file batch by batch, and tells damage from a torn end.
//!
//! A batch passes if its header and CRC are good; the records in it are not looked at. One that
//! does not pass is stepped over by its length, as far as that is plausible, so that damage in the
//! middle hides nothing behind it. Must not know who writes. Invariants: memory is bounded by
//! [`BATCH_BYTES_MAX`] and by what the file holds; nothing is changed.

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

/// Bytes in front of which `batch_length` counts: offset and length.
const LENGTH_END: usize = 12;
const LENGTH_START: usize = 8;

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
        Ok(Self { file, file_bytes, position: 0, buffer: Vec::new() })
    }

    /// Goes on at `position`, which must be the beginning of a batch.
    ///
    /// # Errors
    /// When the file cannot be positioned.
    pub fn seek(&mut self, position: u64) -> io::Result<()> {
        if self.position == position {
            return Ok(());
        }
        self.position = position;
        self.file.seek(SeekFrom::Start(position)).map(|_| ())
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
        let Some(batch_bytes) = self.read_batch(left)? else {
            self.position = self.file_bytes;
            return Ok(Some(Found::Torn { position, bytes: left }));
        };
        self.position += batch_bytes;
        let good = self.buffer.split_first_chunk::<HEADER_BYTES>().and_then(|(head, body)| {
            let header = Header::decode(head).ok()?;
            batch::verify_crc(head, body).ok()?;
            Some(Found::Batch(StoredBatch { position, header, body }))
        });
        Ok(Some(match good {
            Some(found) => found,
            None if batch_bytes == left => Found::Torn { position, bytes: left },
            None => Found::Damaged { position, bytes: batch_bytes },
        }))
    }

    /// Reads the batch at the position into the buffer; none if its length is not plausible.
    fn read_batch(&mut self, left: u64) -> io::Result<Option<u64>> {
        if left < HEADER_BYTES as u64 {
            return Ok(None);
        }
        self.buffer.resize(HEADER_BYTES, 0);
        self.file.read_exact(&mut self.buffer)?;
        let mut length = [0; LENGTH_END - LENGTH_START];
        length.copy_from_slice(&self.buffer[LENGTH_START..LENGTH_END]);
        let batch_bytes = u64::from(u32::from_be_bytes(length)) + LENGTH_END as u64;
        let plausible = HEADER_BYTES as u64..=left.min(BATCH_BYTES_MAX as u64);
        if !plausible.contains(&batch_bytes) {
            return Ok(None);
        }
        let body_bytes = batch_bytes - HEADER_BYTES as u64;
        (&mut self.file).take(body_bytes).read_to_end(&mut self.buffer)?;
        // A file that shrank meanwhile is torn.
        Ok((self.buffer.len() as u64 == batch_bytes).then_some(batch_bytes))
    }
}
