//! One writer that appends, many readers of what is frozen: the spool's rule as types.
//!
//! Owns the frozen mark. Invariant: bytes below it never change while any half lives, so they can be
//! sliced; bytes above it belong to the writer alone. The mark is in our own memory, not in the
//! mapping, so nothing read from a file can move it. Words that change below the mark are used as
//! atomics only and never sliced: that is the callers' part, see `sys::mapping`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::sys::mapping::Mapping;

#[derive(Debug)]
struct Append {
    mapping: Mapping,
    first: usize,
    frozen: AtomicUsize,
}

/// The appending half; there is one, so there is one writer.
#[derive(Debug)]
pub struct AppendWriter(Arc<Append>);

/// The reading half; cheap to clone, keeps the mapping alive.
#[derive(Clone, Debug)]
pub struct AppendReader(Arc<Append>);

/// Splits a mapping into a writer above and readers below the frozen mark.
///
/// Bytes below `first` are words only (atomics); bytes `first..frozen` can be sliced at once.
///
/// # Panics
///
/// Unless `first <= frozen <= mapping.len()`.
pub fn append_pair(mapping: Mapping, first: usize, frozen: usize) -> (AppendWriter, AppendReader) {
    assert!(first <= frozen && frozen <= mapping.len(), "the frozen mark lies outside");
    let shared = Arc::new(Append { mapping, first, frozen: AtomicUsize::new(frozen) });
    (AppendWriter(Arc::clone(&shared)), AppendReader(shared))
}

impl AppendWriter {
    /// Copies `parts` one behind the other to `offset`, at or above the frozen mark.
    ///
    /// # Panics
    ///
    /// When a byte would land below the mark or outside the mapping.
    pub fn write(&mut self, offset: usize, parts: &[&[u8]]) {
        // Relaxed: only this half stores the mark.
        assert!(offset >= self.0.frozen.load(Ordering::Relaxed), "{offset} is frozen");
        let mut at = offset;
        for part in parts {
            self.0.mapping.copy_in(at, part);
            at += part.len();
        }
    }

    /// Freezes everything below `through`: it can be sliced and never written again.
    ///
    /// # Panics
    ///
    /// When the mark would move back or leave the mapping.
    pub fn freeze(&mut self, through: usize) {
        // Relaxed: only this half stores the mark.
        let frozen = self.0.frozen.load(Ordering::Relaxed);
        assert!(frozen <= through && through <= self.0.mapping.len(), "the mark only rises");
        // Release: shows the bytes written above to whoever loads the mark in `AppendReader::slice`.
        self.0.frozen.store(through, Ordering::Release);
    }

    /// The mapping, for its atomics, populating and syncing.
    pub fn mapping(&self) -> &Mapping {
        &self.0.mapping
    }
}

impl AppendReader {
    /// Bytes that never change while anybody can see them.
    ///
    /// # Panics
    ///
    /// When the range reaches above the frozen mark or into the words below `first`.
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        // Acquire: with the store in `AppendWriter::freeze`.
        let frozen = self.0.frozen.load(Ordering::Acquire);
        assert!(
            self.0.first <= range.start && range.start <= range.end && range.end <= frozen,
            "{range:?} is not within {}..{frozen}",
            self.0.first
        );
        // SAFETY: inside the mapping and below the mark, where nothing writes but atomics on words
        // that the caller does not slice; the borrow keeps the mapping alive.
        unsafe {
            let start = self.0.mapping.as_ptr().add(range.start);
            std::slice::from_raw_parts(start, range.len())
        }
    }

    /// The mapping, for its atomics and syncing.
    pub fn mapping(&self) -> &Mapping {
        &self.0.mapping
    }

    /// The mapping whole again, for another use; `self` back while another half still lives.
    ///
    /// # Errors
    ///
    /// The reader itself.
    pub fn into_mapping(self) -> Result<Mapping, AppendReader> {
        Arc::try_unwrap(self.0).map(|shared| shared.mapping).map_err(AppendReader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_writes_above_and_reads_below_the_mark() {
        let (mut writer, reader) = append_pair(Mapping::anonymous(4096).unwrap(), 64, 64);
        writer.write(64, &[b"one", b"two"]);
        assert!(std::panic::catch_unwind(|| reader.slice(64..70).to_vec()).is_err(), "not frozen");
        writer.freeze(70);
        assert_eq!(reader.slice(64..70), b"onetwo");
        assert!(std::panic::catch_unwind(|| reader.slice(63..70).to_vec()).is_err(), "words");
        let below = std::panic::AssertUnwindSafe(|| writer.write(69, &[b"x"]));
        assert!(std::panic::catch_unwind(below).is_err(), "frozen");

        let other = reader.clone();
        let reader = reader.into_mapping().unwrap_err();
        drop(other);
        drop(writer);
        assert_eq!(reader.into_mapping().unwrap().len(), 4096);
    }
}
