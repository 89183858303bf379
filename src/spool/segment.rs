//! One segment file: active, sealed, or free for another use.
//!
//! Owns the file's name and the words in it that change; where the bytes are is `store`'s.
//! Invariant: the name and header of a free
//! segment are those of a released one until [`FreeSegment::activate`] gives it the next number, in
//! an order in which every step can be the last one before a crash.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
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
use crate::spool::store::Store;
use crate::spool::store::StoreKind;
use crate::spool::store::StoreReader;
use crate::spool::store::StoreWriter;
use crate::spool::types::Binding;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;

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
    pub(super) view: StoreReader,
    /// None of one in memory.
    path: Option<PathBuf>,
    /// Its disk failed: shared with the writer, who finds out.
    is_suspect: Arc<AtomicBool>,
    /// A copy of it in a file, while batches of it are on their way from here.
    copy: OnceLock<Box<Segment>>,
}

/// The bytes of a segment to look at: the segment's own where they are mapped, else a copy of a part.
#[derive(Clone, Debug)]
pub struct SegmentBytes {
    /// The segment.
    pub segment: Arc<Segment>,
    copy: Option<Arc<Part>>,
}

#[derive(Debug)]
struct Part {
    range: Range<usize>,
    bytes: Vec<u8>,
}

impl Source for SegmentBytes {
    fn bytes_len(&self) -> usize {
        self.segment.view.len()
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        match &self.copy {
            Some(part) => &part.bytes[range.start - part.range.start..range.end - part.range.start],
            None => self.segment.view.slice(range).expect("a file's bytes come with a copy"),
        }
    }
}

impl SegmentBytes {
    /// Whether it is a copy, which is worth keeping.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Whether it shows all of `range`.
    pub fn shows(&self, range: &Range<usize>) -> bool {
        self.copy
            .as_ref()
            .is_none_or(|part| part.range.start <= range.start && range.end <= part.range.end)
    }
}

impl Segment {
    /// Opens a file that a dead process left; nothing in it is trusted, and nothing is appended.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` when it is too short to hold a group.
    pub fn open(path: PathBuf, address: Address, kind: StoreKind) -> io::Result<Segment> {
        let store = Store::open(&path, kind)?;
        let bytes = store.len();
        let (_, view) = store.split(bytes);
        let (path, is_suspect) = (Some(path), Arc::default());
        Ok(Segment { address, start: 0, view, path, is_suspect, copy: OnceLock::new() })
    }

    /// The same in its place of the stream that this process committed.
    pub(super) fn at(self, start: u64) -> Segment {
        Segment { start, ..self }
    }

    /// The bytes of `range`, copied where they are not mapped.
    ///
    /// # Errors
    ///
    /// What `pread` says, or that there is no memory for the copy.
    pub fn load(self: &Arc<Self>, range: Range<usize>) -> io::Result<SegmentBytes> {
        let segment = Arc::clone(self);
        if !matches!(self.view, StoreReader::File(_)) {
            return Ok(SegmentBytes { segment, copy: None });
        }
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(range.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        bytes.resize(range.len(), 0);
        self.view.read_into(range.start, &mut bytes)?;
        Ok(SegmentBytes { segment, copy: Some(Arc::new(Part { range, bytes })) })
    }

    /// The bytes of whole groups, if the file says a possible number.
    pub fn committed(&self) -> Option<usize> {
        format::committed_bytes(self.view.word(COMMITTED))
    }

    /// Length in bytes.
    pub fn bytes_len(&self) -> u64 {
        self.view.len() as u64
    }

    /// Whether it is in memory alone.
    pub fn is_memory(&self) -> bool {
        self.view.is_memory()
    }

    /// Whether pages of it were lost: then nothing in it is to be believed without its checksum.
    pub fn is_dead(&self) -> bool {
        self.view.is_dead()
    }

    /// Whether it should be written to another file: it is in memory alone, or its disk failed.
    pub fn wants_home(&self) -> bool {
        // Acquire: partner is the store in `Active::give_up`.
        let is_unsafe = self.is_memory() || self.is_suspect.load(Ordering::Acquire);
        is_unsafe && self.copy.get().is_none()
    }

    /// From now on what changes here changes in `copy`, too: a crash finds it there.
    pub(super) fn set_copy(&self, copy: Segment) {
        let first = self.copy.set(Box::new(copy));
        debug_assert!(first.is_ok(), "a segment with a copy wants no other one");
    }

    /// Whether a crash would take it with the process.
    pub fn is_memory_alone(&self) -> bool {
        self.is_memory() && self.copy.get().is_none()
    }

    /// Lets the kernel take its pages back; they are read again when they are needed.
    pub fn forget_pages(&self) {
        self.view.forget_pages();
    }

    /// The number of the state of the frame at `offset`.
    pub fn state(&self, offset: usize) -> u8 {
        format::state_number(self.view.word(offset + FRAME_STATE))
    }

    /// Stores the state of the frame at `offset`.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::store_words`]: it holds in this process all the same.
    pub fn set_state(&self, offset: usize, number: u8) -> io::Result<()> {
        self.store_words(offset + FRAME_STATE, &[format::state_word(number)])
    }

    /// The newest whole binding of the frame at `offset`.
    pub fn binding(&self, offset: usize) -> Option<Binding> {
        self.newest_binding(offset).map(|(_, _, binding)| binding)
    }

    /// Stores a binding beside the newest one: at every instant one of the two is whole.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::store_words`]: it holds in this process all the same.
    pub fn set_binding(&self, offset: usize, binding: &Binding) -> io::Result<()> {
        let (slot, generation) = match self.newest_binding(offset) {
            Some((slot, generation, _)) => (1 - slot, generation.wrapping_add(1)),
            None => (0, 1),
        };
        let words = format::encode_binding(&self.address, offset, generation, binding);
        let at = offset + FRAME_BINDINGS[slot];
        // The first word, with the checksum, comes last: a kill in between leaves a slot that does not fit.
        if cfg!(feature = "crash_points") {
            self.store_words(at + 8, &words[1..])?;
            crash_point(Point::HalfBound);
        }
        self.store_words(at, &words)
    }

    fn store_words(&self, at: usize, words: &[u64]) -> io::Result<()> {
        let stored = self.view.store_words(at, words);
        self.copy.get().map_or(Ok(()), |copy| copy.view.store_words(at, words)).and(stored)
    }

    /// The file, for another use; `self` back while the writer still appends to it.
    ///
    /// # Errors
    ///
    /// The segment itself.
    pub fn into_free(self) -> Result<FreeSegment, Segment> {
        let Segment { address, start, view, path, is_suspect, copy } = self;
        match view.into_store() {
            Ok(store) => {
                // Acquire: as in `wants_home`.
                let is_suspect = is_suspect.load(Ordering::Acquire);
                let path = copy.into_inner().map_or(path, |copy| copy.path);
                Ok(FreeSegment { store, path, is_suspect })
            }
            Err(view) => Err(Segment { address, start, view, path, is_suspect, copy }),
        }
    }

    fn newest_binding(&self, offset: usize) -> Option<(usize, u32, Binding)> {
        let words = FRAME_BINDINGS
            .map(|slot| std::array::from_fn(|index| self.view.word(offset + slot + 8 * index)));
        scan::newest_binding(&self.address, offset, &words)
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
    store: Store,
    path: Option<PathBuf>,
    is_suspect: bool,
}

/// A free segment that became the active one.
pub struct Activated {
    /// The appending half.
    pub writer: StoreWriter,
    /// The reading half.
    pub segment: Segment,
    /// To be set when its disk fails.
    pub is_suspect: Arc<AtomicBool>,
}

impl FreeSegment {
    /// Allocates a new file and all of its blocks.
    ///
    /// # Errors
    ///
    /// What the system says; then nothing stays allocated.
    pub fn create(dir: &Path, segment_bytes: u64, kind: StoreKind) -> io::Result<FreeSegment> {
        let path = dir.join(NEW_SEGMENT_FILE);
        // A leftover of a try whose file could not be removed.
        let store = match Store::create(&path, segment_bytes, kind) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                Store::create(&path, segment_bytes, kind)?
            }
            created => created?,
        };
        crash_point(Point::SegmentAllocated);
        Ok(FreeSegment { store, path: Some(path), is_suspect: false })
    }

    /// Memory in place of a file.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn in_memory(segment_bytes: u64) -> io::Result<FreeSegment> {
        Ok(FreeSegment { store: Store::in_memory(segment_bytes)?, path: None, is_suspect: false })
    }

    /// Length of the file.
    pub fn segment_bytes(&self) -> u64 {
        self.store.len() as u64
    }

    /// Whether it is memory, not a file.
    pub fn is_memory(&self) -> bool {
        self.store.is_memory()
    }

    /// Whether it can be used again.
    pub fn is_usable(&self) -> bool {
        !(self.is_memory() || self.is_suspect || self.store.is_dead())
    }

    /// Removes the file; one that somebody else removed is no error.
    ///
    /// # Errors
    ///
    /// What the system says; the file is then left to the next recovery.
    pub fn remove(self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _removed_or_absent => {
                crash_point(Point::SegmentRemoved);
                Ok(())
            }
        }
    }

    /// Makes it the segment `address`, empty, with its groups starting at `start` of the stream.
    ///
    /// A crash after any step leaves a file that recovery knows to be empty: first `committed` is
    /// zero under the old name and header, then the header is new (old bytes no longer fit their
    /// address), then the name.
    ///
    /// # Errors
    ///
    /// The segment, still free, and what the system said.
    pub fn activate(
        mut self,
        dir: &Path,
        address: Address,
        start: u64,
    ) -> Result<Activated, (FreeSegment, io::Error)> {
        let path = match self.make_ready(dir, address) {
            Ok(path) => path,
            Err(error) => return Err((self, error)),
        };
        let (writer, view) = self.store.split(DATA_START);
        let is_suspect = Arc::<AtomicBool>::default();
        let shared = Arc::clone(&is_suspect);
        let copy = OnceLock::new();
        let segment = Segment { address, start, view, path, is_suspect: shared, copy };
        Ok(Activated { writer, segment, is_suspect })
    }

    fn make_ready(&mut self, dir: &Path, address: Address) -> io::Result<Option<PathBuf>> {
        self.store.store_committed(format::committed_word(0))?;
        crash_point(Point::SegmentEmptied);
        // SeqCst: keeps the compiler from moving the header's bytes before the store above.
        fence(Ordering::SeqCst);
        let header = SegmentHeader { address, segment_bytes: self.segment_bytes() };
        self.store.write(0, &header.encode())?;
        crash_point(Point::HeaderWritten);
        let Some(old) = &self.path else { return Ok(None) };
        let path = dir.join(segment_name(address.segment));
        fs::rename(old, &path)?;
        crash_point(Point::SegmentNamed);
        Ok(Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::ids::InstanceId;

    #[test]
    fn a_recycled_segment_starts_empty_under_its_new_name() {
        for kind in [StoreKind::Mapped, StoreKind::File] {
            recycle(kind);
        }
    }

    fn recycle(kind: StoreKind) {
        let dir = tempfile::tempdir().unwrap();
        let address = |segment| Address { instance: InstanceId([1; 16]), segment };
        let free = FreeSegment::create(dir.path(), 64 << 10, kind).unwrap();
        let Activated { writer, segment, .. } =
            free.activate(dir.path(), address(1), 0).ok().unwrap();
        writer.store_committed(format::committed_word(4096)).unwrap();
        let segment = segment.into_free().unwrap_err();
        assert_eq!(segment.committed(), Some(4096));
        drop(writer);

        let free = segment.into_free().unwrap();
        let Activated { segment, .. } = free.activate(dir.path(), address(2), 0).ok().unwrap();
        assert_eq!(segment.committed(), Some(0), "its old groups are not committed in it");
        assert!(!dir.path().join(segment_name(1)).exists());
        let bytes = fs::read(dir.path().join(segment_name(2))).unwrap();
        let header = SegmentHeader::decode(&format::array_at(&bytes, 0)).unwrap();
        assert_eq!(header, SegmentHeader { address: address(2), segment_bytes: 64 << 10 });
    }

    #[test]
    fn a_name_that_cannot_be_given_leaves_the_segment_free() {
        let dir = tempfile::tempdir().unwrap();
        let free = FreeSegment::create(dir.path(), 64 << 10, StoreKind::Mapped).unwrap();
        let address = Address { instance: InstanceId([1; 16]), segment: 1 };
        let (free, _) = free.activate(&dir.path().join("missing"), address, 0).err().unwrap();
        assert!(free.activate(dir.path(), address, 0).is_ok());
    }
}
