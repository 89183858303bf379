//! A segment that holds nothing: made, given back, made the active one.
//!
//! Invariant: its name and header are those of a released one until [`FreeSegment::activate`] gives it the next number,
//! in an order in which every step can be the last one before a crash.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::DATA_START;
use crate::spool::format::SegmentHeader;
use crate::spool::segment::NEW_SEGMENT_FILE;
use crate::spool::segment::Segment;
use crate::spool::segment::segment_name;
use crate::spool::store::Store;
use crate::spool::store::StoreKind;
use crate::spool::store::StoreWriter;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;

/// A segment file that holds nothing: new, or released.
#[derive(Debug)]
pub struct FreeSegment {
    pub(super) store: Store,
    pub(super) path: Option<PathBuf>,
    pub(super) is_suspect: bool,
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
