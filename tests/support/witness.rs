//! A witness: what an application had been promised, in a mapped file that outlives it.
//!
//! One slot per thread, a cache line each. A slot is stored after `log()` has returned, by a plain store to shared
//! memory: a system call in its place would take longer than logging, and hide what a kill in the middle does.

#![allow(unsafe_code, reason = "maps a file that two processes share, and only through atomics")]

use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use memmap2::MmapOptions;
use memmap2::MmapRaw;

const SLOT_BYTES: usize = 64;

/// See the module's head. Shared by the application and the test.
pub struct Witness {
    mapping: MmapRaw,
}

impl Witness {
    /// Makes one of `slots` slots, all zero.
    pub fn create(path: &Path, slots: usize) -> Self {
        let file = File::create_new(path).unwrap();
        file.set_len((slots * SLOT_BYTES) as u64).unwrap();
        Self::open(path)
    }

    /// Opens the one that another process made.
    pub fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self { mapping: MmapOptions::new().map_raw(&file).unwrap() }
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.mapping.len() / SLOT_BYTES
    }

    /// The value of a slot.
    pub fn read(&self, slot: usize) -> u64 {
        // Acquire: partner is `store`.
        self.word(slot).load(Ordering::Acquire)
    }

    /// All slots.
    pub fn read_all(&self) -> Vec<u64> {
        (0..self.slots()).map(|slot| self.read(slot)).collect()
    }

    /// Stores a slot's value.
    pub fn store(&self, slot: usize, value: u64) {
        // Release: what was logged before is seen by who sees this.
        self.word(slot).store(value, Ordering::Release);
    }

    /// Adds to a slot that several threads share; what it was before.
    pub fn add(&self, slot: usize, value: u64) -> u64 {
        // AcqRel: as `read` and `store`.
        self.word(slot).fetch_add(value, Ordering::AcqRel)
    }

    fn word(&self, slot: usize) -> &AtomicU64 {
        assert!(slot < self.slots());
        // SAFETY: in bounds by the assertion, aligned (a mapping is page-aligned), only ever accessed as an
        // atomic by either process, and the mapping lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.mapping.as_mut_ptr().add(slot * SLOT_BYTES).cast()) }
    }
}
