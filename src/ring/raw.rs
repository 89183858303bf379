//! The bytes of an arena: the only place of the rings with `unsafe`.
//!
//! Owns copies into and out of chunks and access to the atomic words. Promises: it never makes a `&[u8]` over
//! bytes that another thread or process may write, copies through raw pointers only, and bounds every offset
//! against the mapping whatever the caller says. What it cannot know, its callers keep: only the owner of
//! a chunk writes it, only above the ring's published tail, and readers stay below that tail.

#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::AtomicU64;

use crate::sys::mapping::Mapping;

/// The memory of an arena.
pub(super) struct Memory {
    mapping: Mapping,
    base: *mut u8,
    bytes: usize,
}

// SAFETY: `base` points into `mapping`, which lives as long as `self`; all access through it is bounded, and
// which thread may touch which bytes is the position protocol of `ring::position`.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access hands out atomics, or copies under the position protocol.
unsafe impl Sync for Memory {}

impl Memory {
    pub(super) fn new(mapping: Mapping) -> Self {
        let (base, bytes) = (mapping.as_ptr(), mapping.len());
        Self { mapping, base, bytes }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether parts of it are zeros now, behind which there is no file any more.
    pub(super) fn is_dead(&self) -> bool {
        self.mapping.is_dead()
    }

    pub(super) fn populate(&self, at: usize, bytes: usize) {
        // Only a hint: where it fails, the first store takes the page fault, as it would anyway.
        let _faults_later = self.mapping.populate(at..at + bytes);
    }

    /// The atomic word at `at`, a multiple of 8.
    #[inline(always)]
    pub(super) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at <= self.bytes - 8, "word {at} is outside of the arena");
        // SAFETY: in bounds and aligned by the assertion (the mapping is page-aligned); the word is only
        // ever accessed as an atomic; it lives as long as the mapping, which `self` owns.
        unsafe { AtomicU64::from_ptr(self.base.add(at).cast()) }
    }

    /// Copies `bytes` to `at`. The caller owns that range (see the head of this file).
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at <= self.bytes && bytes.len() <= self.bytes - at, "write outside of the arena");
        // SAFETY: in bounds by the assertion; source and target cannot overlap, since no slice is ever made
        // over the mapping.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(at), bytes.len()) }
    }

    /// Appends `bytes` bytes from `at` to `target`. The caller has seen them published.
    #[inline]
    pub(super) fn read(&self, at: usize, bytes: usize, target: &mut Vec<u8>) {
        assert!(at <= self.bytes && bytes <= self.bytes - at, "read outside of the arena");
        target.reserve(bytes);
        let length = target.len();
        // SAFETY: the source is in bounds by the assertion, the target has `bytes` of spare capacity by
        // `reserve` and is initialised by the copy before its length grows.
        unsafe {
            ptr::copy_nonoverlapping(self.base.add(at), target.as_mut_ptr().add(length), bytes);
            target.set_len(length + bytes);
        }
    }

    /// A cursor over `bytes` bytes from `at`, which the caller owns until it publishes them.
    pub(super) fn cursor(&self, at: usize, bytes: usize) -> Cursor {
        assert!(at <= self.bytes && bytes <= self.bytes - at, "cursor outside of the arena");
        // SAFETY: in bounds by the assertion.
        let next = unsafe { self.base.add(at) };
        // SAFETY: one past the last byte of a range that is in bounds by the assertion.
        let end = unsafe { next.add(bytes) };
        Cursor { next, end }
    }
}

/// Write access to the unpublished rest of one chunk. Neither `Send` nor `Copy`: it stays with its ring.
///
/// The ring's producer holds the arena (and so the mapping) for as long as it holds a cursor into it.
pub(super) struct Cursor {
    next: *mut u8,
    end: *mut u8,
}

impl Cursor {
    /// A cursor with no room, for a ring that has no chunk yet.
    pub(super) const fn empty() -> Self {
        Self { next: ptr::null_mut(), end: ptr::null_mut() }
    }

    /// Bytes until the chunk's end.
    #[inline(always)]
    pub(super) fn remaining(&self) -> usize {
        self.end.addr() - self.next.addr()
    }

    /// Writes `bytes` and advances.
    #[inline(always)]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "a record outgrew its claim");
        // SAFETY: the range is inside the chunk by the assertion, the chunk is this ring's alone and the
        // bytes are not published yet, so nobody reads them; the source is no part of the mapping.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.next, bytes.len());
            self.next = self.next.add(bytes.len());
        }
    }

    /// Advances over `bytes` without writing them (padding).
    #[inline(always)]
    pub(super) fn skip(&mut self, bytes: usize) {
        assert!(bytes <= self.remaining(), "padding past the chunk");
        // SAFETY: stays inside the chunk by the assertion.
        self.next = unsafe { self.next.add(bytes) };
    }

    /// Where the next byte goes, for somebody who fills bytes in place: at most [`Cursor::remaining`] of them,
    /// before they are published.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.next
    }

    /// A mark to return to with [`Cursor::rewind`].
    #[inline(always)]
    pub(super) fn mark(&self) -> Mark {
        Mark(self.next)
    }

    /// Returns to a mark taken from this cursor in the same chunk; what was written since is forgotten.
    #[inline(always)]
    pub(super) fn rewind(&mut self, mark: Mark) {
        debug_assert!(mark.0.addr() <= self.next.addr(), "a mark lies behind the cursor");
        self.next = mark.0;
    }
}

/// A place in a chunk that a [`Cursor`] has passed.
pub(super) struct Mark(*mut u8);
