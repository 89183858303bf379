//! One segment file: active, sealed, or free for another use.
//!
//! Owns the file's name and the words in it that change. Invariant: the name and header of a free
//! segment are those of a released one until [`FreeSegment::activate`] gives it the next number, in
//! an order in which every step can be the last one before a crash.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::COMMITTED;
use crate::spool::format::DATA_START;
use crate::spool::format::FRAME_BINDINGS;
use crate::spool::format::FRAME_STATE;
use crate::spool::format::SegmentHeader;
use crate::spool::scan;
use crate::spool::scan::Source;
use crate::spool::types::Binding;
use crate::sys::append::AppendReader;
use crate::sys::append::AppendWriter;
use crate::sys::append::append_pair;
use crate::sys::mapping::Mapping;

/// Extension of a segment file.
pub const SEGMENT_EXTENSION: &str = "seg";

/// A segment file that was never used: allocated ahead, never held a group.
pub const NEW_SEGMENT_FILE: &str = "next.new";

/// The unit of `st_blocks`, whatever the file system (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// The file name of a segment.
pub fn segment_name(number: u64) -> String {
    format!("{number:020}.{SEGMENT_EXTENSION}")
}

/// A segment that holds, or held, groups: what the reader and all frames share.
#[derive(Debug)]
pub struct Segment {
    /// Whose it is, and its number.
    pub address: Address,
    /// Position of its first group in the stream of bytes that this process committed.
    pub start: u64,
    view: AppendReader,
    path: PathBuf,
}

impl Source for Segment {
    fn bytes_len(&self) -> usize {
        self.view.mapping().len()
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.view.slice(range)
    }
}

impl Segment {
    /// Maps a file that a dead process left; nothing in it is trusted, and nothing is appended.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` when it is too short to hold a group.
    pub fn open(path: PathBuf, address: Address) -> io::Result<Segment> {
        let mapping = Mapping::open(&path)?;
        if mapping.len() < DATA_START {
            let message = format!("{} bytes is too short for a segment", mapping.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let bytes = mapping.len();
        let (_, view) = append_pair(mapping, DATA_START, bytes);
        Ok(Segment { address, start: 0, view, path })
    }

    /// The bytes of whole groups, if the file says a possible number.
    pub fn committed(&self) -> Option<usize> {
        // Acquire: a dead process stored it; nobody does now.
        let word = self.view.mapping().atomic_u64(COMMITTED).load(Ordering::Acquire);
        format::committed_bytes(word)
    }

    /// The number of the state of the frame at `offset`.
    pub fn state(&self, offset: usize) -> u8 {
        // Relaxed: only the reader's thread stores it.
        format::state_number(self.state_word(offset).load(Ordering::Relaxed))
    }

    /// Stores the state of the frame at `offset`.
    pub fn set_state(&self, offset: usize, number: u8) {
        // Release: a binding stored before is in the mapping before, too.
        self.state_word(offset).store(format::state_word(number), Ordering::Release);
    }

    /// The newest whole binding of the frame at `offset`.
    pub fn binding(&self, offset: usize) -> Option<Binding> {
        self.newest_binding(offset).map(|(_, _, binding)| binding)
    }

    /// Stores a binding beside the newest one: at every instant one of the two is whole.
    pub fn set_binding(&self, offset: usize, binding: &Binding) {
        let (slot, generation) = match self.newest_binding(offset) {
            Some((slot, generation, _)) => (1 - slot, generation.wrapping_add(1)),
            None => (0, 1),
        };
        let words = format::encode_binding(&self.address, offset, generation, binding);
        for (index, word) in words.iter().enumerate().rev() {
            // Release: the first word, with the checksum, comes last; a kill in between leaves a
            // slot whose checksum does not fit.
            self.binding_word(offset, slot, index).store(*word, Ordering::Release);
        }
    }

    /// The file, for another use; `self` back while the writer still appends to it.
    ///
    /// # Errors
    ///
    /// The segment itself.
    pub fn into_free(self) -> Result<FreeSegment, Segment> {
        let Segment { address, start, view, path } = self;
        match view.into_mapping() {
            Ok(mapping) => Ok(FreeSegment { mapping, path }),
            Err(view) => Err(Segment { address, start, view, path }),
        }
    }

    fn newest_binding(&self, offset: usize) -> Option<(usize, u32, Binding)> {
        let words = [0, 1].map(|slot| {
            std::array::from_fn(|index| {
                // Acquire: with the stores in `set_binding`.
                self.binding_word(offset, slot, index).load(Ordering::Acquire)
            })
        });
        scan::newest_binding(&self.address, offset, &words)
    }

    fn state_word(&self, offset: usize) -> &AtomicU64 {
        self.view.mapping().atomic_u64(offset + FRAME_STATE)
    }

    fn binding_word(&self, offset: usize, slot: usize, index: usize) -> &AtomicU64 {
        self.view.mapping().atomic_u64(offset + FRAME_BINDINGS[slot] + 8 * index)
    }
}

/// Bytes that the segment files in `dir` occupy; a directory or file that is gone occupies none.
pub fn occupied_bytes(dir: &Path) -> u64 {
    let is_segment = |entry: &fs::DirEntry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == SEGMENT_EXTENSION)
            || entry.file_name() == NEW_SEGMENT_FILE
    };
    let files = fs::read_dir(dir).into_iter().flatten().flatten().filter(is_segment);
    files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * BLOCK_BYTES).sum()
}

/// A segment file that holds nothing: new, or released.
#[derive(Debug)]
pub struct FreeSegment {
    mapping: Mapping,
    path: PathBuf,
}

impl FreeSegment {
    /// Allocates a new file and all of its pages.
    ///
    /// # Errors
    ///
    /// What the system says; then nothing stays allocated.
    pub fn create(dir: &Path, segment_bytes: u64) -> io::Result<FreeSegment> {
        let path = dir.join(NEW_SEGMENT_FILE);
        let mapping = Mapping::create(&path, segment_bytes)?;
        let free = FreeSegment { mapping, path };
        match free.mapping.populate(0..free.mapping.len()) {
            Ok(()) => Ok(free),
            Err(error) => {
                free.remove()?;
                Err(error)
            }
        }
    }

    /// Length of the file.
    pub fn segment_bytes(&self) -> u64 {
        self.mapping.len() as u64
    }

    /// Removes the file.
    ///
    /// # Errors
    ///
    /// What the system says; the file is then left to the next recovery.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    /// Makes it the segment `address`, empty, with its groups starting at `start` of the stream.
    ///
    /// A crash after any step leaves a file that recovery knows to be empty: first `committed` is
    /// zero under the old name and header, then the header is new (old bytes no longer fit their
    /// address), then the name.
    ///
    /// # Errors
    ///
    /// The segment, still free, and what the system said about the renaming.
    pub fn activate(
        mut self,
        dir: &Path,
        address: Address,
        start: u64,
    ) -> Result<(AppendWriter, Segment), (FreeSegment, io::Error)> {
        // Release: as everywhere for this word, though nobody else looks at a free segment.
        self.mapping.atomic_u64(COMMITTED).store(format::committed_word(0), Ordering::Release);
        // SeqCst: keeps the compiler from moving the header's bytes before the store above.
        fence(Ordering::SeqCst);
        let header = SegmentHeader { address, segment_bytes: self.segment_bytes() };
        self.mapping.write(0, &header.encode());
        let path = dir.join(segment_name(address.segment));
        if let Err(error) = fs::rename(&self.path, &path) {
            return Err((self, error));
        }
        let (writer, view) = append_pair(self.mapping, DATA_START, DATA_START);
        Ok((writer, Segment { address, start, view, path }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::ids::InstanceId;

    #[test]
    fn a_recycled_segment_starts_empty_under_its_new_name() {
        let dir = tempfile::tempdir().unwrap();
        let address = |segment| Address { instance: InstanceId([1; 16]), segment };
        let free = FreeSegment::create(dir.path(), 64 << 10).unwrap();
        let (writer, segment) = free.activate(dir.path(), address(1), 0).unwrap();
        let word = writer.mapping().atomic_u64(COMMITTED);
        word.store(format::committed_word(4096), Ordering::Release);
        let segment = segment.into_free().unwrap_err();
        assert_eq!(segment.committed(), Some(4096));
        drop(writer);

        let free = segment.into_free().unwrap();
        let (_writer, segment) = free.activate(dir.path(), address(2), 0).unwrap();
        assert_eq!(segment.committed(), Some(0), "its old groups are not committed in it");
        assert!(!dir.path().join(segment_name(1)).exists());
        let bytes = fs::read(dir.path().join(segment_name(2))).unwrap();
        let header = SegmentHeader::decode(&format::array_at(&bytes, 0)).unwrap();
        assert_eq!(header, SegmentHeader { address: address(2), segment_bytes: 64 << 10 });
    }

    #[test]
    fn a_name_that_cannot_be_given_leaves_the_segment_free() {
        let dir = tempfile::tempdir().unwrap();
        let free = FreeSegment::create(dir.path(), 64 << 10).unwrap();
        let address = Address { instance: InstanceId([1; 16]), segment: 1 };
        let (free, _) = free.activate(&dir.path().join("missing"), address, 0).unwrap_err();
        free.activate(dir.path(), address, 0).unwrap();
    }
}
