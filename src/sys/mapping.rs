//! Memory that outlives the process: MAP_SHARED mappings of fully preallocated files.
//!
//! Owns the mapping and its bounds. A hole, a full disk or a truncation behind a mapping is a SIGBUS
//! in the host, not an error code: so every block is allocated before the file is mapped, and the
//! file is never truncated while it is.
//!
//! Three ways in, none of which can make a reference to bytes that change under it, if the callers
//! keep one rule that this file cannot check: *a word that is used as an atomic is used as nothing
//! else while anybody else may use it* (it is neither sliced nor written as bytes).
//!
//! * [`Mapping`]: atomics at checked, aligned offsets, copies out, and writes under `&mut`.
//! * [`append_pair`](crate::sys::append::append_pair): a writer that appends above a *frozen* mark and
//!   readers that slice below it. Frozen bytes never change again, until every half is gone and the
//!   mapping is whole again.
//! * [`Mapping::as_ptr`] for `ring::raw`, which has its own reasons.
//!
//! Offsets outside the mapping or misaligned are defects of ours and panic; whatever was read from
//! a file must be checked before it becomes an offset.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use memmap2::Advice;
use memmap2::MmapOptions;
use memmap2::MmapRaw;

use crate::sys::allocate::create_allocated;
use crate::sys::allocate::discard;
use crate::sys::file::open_own_file;
use crate::sys::file_id::FileId;
use crate::sys::guard::Guarded;

/// A readable and writable mapping; unmapped when dropped. The file stays.
#[derive(Debug)]
pub struct Mapping {
    // Before the map: given up first.
    guarded: Guarded,
    map: MmapRaw,
    file_id: FileId,
}

impl Mapping {
    /// Creates the file `path` (mode 0600, must not exist) with `bytes` allocated zeros and maps it.
    ///
    /// Blocks on the disk. On any error the file is gone again and no block stays allocated.
    ///
    /// # Errors
    ///
    /// What `open`, `fallocate` or `mmap` say; `FileTooLarge` where `RLIMIT_FSIZE` is lower (the
    /// kernel would send a fatal signal).
    pub fn create(path: &Path, bytes: u64) -> io::Result<Mapping> {
        let file = create_allocated(path, bytes)?;
        let mapped = Mapping::of_file(&file, bytes);
        if mapped.is_err() {
            discard(&file, path);
        }
        mapped
    }

    /// Maps the existing regular file `path` of ours, all of it, as left by a process that is dead.
    ///
    /// # Errors
    ///
    /// What `open` or `mmap` say; `PermissionDenied` for a link, a special file or another user's;
    /// `InvalidInput` for an empty file.
    pub fn open(path: &Path) -> io::Result<Mapping> {
        let file = open_own_file(path)?;
        let bytes = file.metadata()?.len();
        Mapping::of_file(&file, bytes)
    }

    /// Private zeroed memory, the fallback where no file can be mapped: dies with the process.
    ///
    /// # Errors
    ///
    /// What `mmap` says; `InvalidInput` for zero bytes.
    pub fn anonymous(bytes: u64) -> io::Result<Mapping> {
        let map = MmapOptions::new().len(mappable(bytes)?).map_anon()?;
        Ok(Mapping { guarded: Guarded::default(), map: map.into(), file_id: FileId::default() })
    }

    fn of_file(file: &File, bytes: u64) -> io::Result<Mapping> {
        let map = MmapOptions::new().len(mappable(bytes)?).map_raw(file)?;
        let file_id = FileId::of(&file.metadata()?);
        Ok(Mapping { guarded: Guarded::new(map.as_ptr(), map.len()), map, file_id })
    }

    /// Which file it is of.
    pub fn file_id(&self) -> FileId {
        self.file_id
    }

    /// Whether a fault was met behind it, see [`guard`](crate::sys::guard): parts of it are zeros then, and
    /// what is written may not reach the file.
    pub fn is_dead(&self) -> bool {
        self.guarded.is_dead()
    }

    /// Lets the kernel take the pages back: they are read from the file again when they are needed. Only a hint.
    pub fn forget_pages(&self) {
        // Private pages would be lost; those are our own memory, or the guard's zeros.
        if self.guarded.is_registered() && !self.is_dead() {
            // SAFETY: the range is the whole mapping, which is shared with its file: no byte is lost.
            let _hint =
                unsafe { libc::madvise(self.as_ptr().cast(), self.len(), libc::MADV_DONTNEED) };
        }
    }

    /// The length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// The first byte, for `ring::raw`: valid for [`Mapping::len`] bytes while `self` lives.
    ///
    /// Whoever uses it must not make references to bytes that another thread may write.
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// The 64-bit word at `offset`.
    ///
    /// # Panics
    ///
    /// When `offset` is no multiple of 8 or the word is not inside.
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8);
        assert!(offset.is_multiple_of(8), "word at {offset} is not aligned");
        // SAFETY: checked to be inside the mapping and aligned (the base is page-aligned); the
        // reference lives no longer than the mapping; the caller uses the word only atomically.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// The 32-bit word at `offset`.
    ///
    /// # Panics
    ///
    /// When `offset` is no multiple of 4 or the word is not inside.
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4);
        assert!(offset.is_multiple_of(4), "word at {offset} is not aligned");
        // SAFETY: as in `atomic_u64`.
        unsafe { AtomicU32::from_ptr(self.map.as_mut_ptr().add(offset).cast()) }
    }

    /// Copies bytes out, one by one: what another thread writes meanwhile is seen in part.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    pub fn read_into(&self, offset: usize, target: &mut [u8]) {
        self.check(offset, target.len());
        for (index, byte) in target.iter_mut().enumerate() {
            // SAFETY: checked to be inside the mapping; an atomic load never makes a data race.
            let source = unsafe { AtomicU8::from_ptr(self.map.as_mut_ptr().add(offset + index)) };
            // Relaxed: the caller has synchronised with the writer, or takes what it gets.
            *byte = source.load(Ordering::Relaxed);
        }
    }

    /// Copies `source` in; exclusive, so nobody else in this process can be looking.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    pub fn write(&mut self, offset: usize, source: &[u8]) {
        self.copy_in(offset, source);
    }

    /// Faults the pages of `range` in for writing, so that no later store waits for the kernel.
    ///
    /// # Errors
    ///
    /// `EFAULT` or `ENOMEM` where a page cannot be had: an error here instead of a signal later.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    pub fn populate(&self, range: Range<usize>) -> io::Result<()> {
        let range = self.whole_pages(range);
        loop {
            let populated = self.map.advise_range(Advice::PopulateWrite, range.start, range.len());
            let Err(error) = populated else { return Ok(()) };
            match error.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => {}
                // Linux before 5.14.
                Some(libc::EINVAL) => {
                    self.touch(range);
                    return Ok(());
                }
                _ => return Err(error),
            }
        }
    }

    /// Writes the pages of `range` to the disk and waits (`msync(MS_SYNC)`).
    ///
    /// # Errors
    ///
    /// After an error the kernel may have dropped the pages as clean: a later success says nothing
    /// about them, so it must not be retried in place.
    ///
    /// # Panics
    ///
    /// When the range is not inside.
    pub fn sync(&self, range: Range<usize>) -> io::Result<()> {
        let range = self.whole_pages(range);
        self.map.flush_range(range.start, range.len())
    }

    /// One store per page that changes nothing.
    fn touch(&self, range: Range<usize>) {
        for offset in range.step_by(page_bytes()) {
            // SAFETY: inside the mapping, see `populate`; an atomic access is never a data race.
            let byte = unsafe { AtomicU8::from_ptr(self.map.as_mut_ptr().add(offset)) };
            byte.fetch_or(0, Ordering::Relaxed);
        }
    }

    fn whole_pages(&self, range: Range<usize>) -> Range<usize> {
        assert!(range.start <= range.end, "range {range:?} is reversed");
        self.check(range.start, range.len());
        let page_bytes = page_bytes();
        let end = range.end.next_multiple_of(page_bytes).min(self.len());
        range.start - range.start % page_bytes..end
    }

    /// Copies `source` in where nobody looks; the caller is the only writer of these bytes.
    pub(super) fn copy_in(&self, offset: usize, source: &[u8]) {
        self.check(offset, source.len());
        // SAFETY: the target is checked to be inside the mapping and cannot overlap `source`, since
        // no slice is ever made over bytes that may still be written; the caller is the only writer.
        unsafe {
            let target = self.map.as_mut_ptr().add(offset);
            std::ptr::copy_nonoverlapping(source.as_ptr(), target, source.len());
        }
    }

    fn check(&self, offset: usize, bytes: usize) {
        assert!(
            bytes <= self.len() && offset <= self.len() - bytes,
            "{bytes} bytes at {offset} of a mapping of {}",
            self.len()
        );
    }
}

fn mappable(bytes: u64) -> io::Result<usize> {
    let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    fits.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "nothing to map"))
}

/// The page of this machine: 4 KiB, or up to 64 KiB on ARM.
pub(super) fn page_bytes() -> usize {
    // SAFETY: sysconf touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).expect("every Linux has a page size")
}

#[cfg(test)]
mod tests;
