//! One segment file that holds, or held, groups: what the reader and all frames share.
//!
//! Owns the file's name and the words in it that change; where the bytes are is `store`'s, what holds nothing is
//! `free`'s. Invariant: bytes that do not change are seen only where they are frozen, or through a copy.

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

use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::COMMITTED;
use crate::spool::format::FRAME_BINDINGS;
use crate::spool::format::FRAME_STATE;
use crate::spool::scan;
use crate::spool::scan::Source;
use crate::spool::store::Store;
use crate::spool::store::StoreKind;
use crate::spool::store::StoreReader;
use crate::spool::types::Binding;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;

mod free;

pub use free::Activated;
pub use free::FreeSegment;

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
