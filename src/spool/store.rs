//! Where the bytes of a segment are: in a mapping of its file, in the file behind `pwrite`, or in memory alone.
//!
//! A store through a mapping reports failure by a signal, so files are mapped only where their blocks, once
//! allocated, stay ours: tmpfs, ext4, XFS. Everywhere else (copy on write, network, FUSE, unknown) they are written
//! by `pwrite` and read by `pread`, and a failure is an error code. Measured, that costs about 1 ns per record.
//!
//! Owns which of the three it is; writer, reader and recovery see one set of operations. Invariants: bytes below
//! the frozen mark never change; words that the disk refused are kept here and hold in this process, until a later
//! store gets them through.

use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::spool::format::COMMITTED;
use crate::spool::format::DATA_START;
use crate::sys::allocate::create_allocated;
use crate::sys::append::AppendReader;
use crate::sys::append::AppendWriter;
use crate::sys::append::append_pair;
use crate::sys::file;
use crate::sys::mapping::Mapping;

mod file_bytes;
mod kind;

pub use crate::spool::store::file_bytes::FileBytes;
pub use crate::spool::store::kind::StoreKind;

/// The bytes of a segment that nobody appends to and nobody reads.
#[derive(Debug)]
pub enum Store {
    /// A mapped file.
    Mapped(Mapping),
    /// A file behind `pwrite`.
    File(FileBytes),
    /// Memory without a file: dies with the process.
    Memory(Mapping),
}

/// The appending half.
#[derive(Debug)]
pub enum StoreWriter {
    /// Of a mapping, of a file or not.
    Mapped(AppendWriter),
    /// Of a file.
    File(Arc<FileBytes>),
}

/// The reading half, shared by everybody who holds the segment.
#[derive(Debug)]
pub enum StoreReader {
    /// Of a mapped file.
    Mapped(AppendReader),
    /// Of a file.
    File(Arc<FileBytes>),
    /// Of memory without a file.
    Memory(AppendReader),
}

/// Why bytes cannot be had.
const DEAD: &str = "the file behind the mapping was truncated, or its disk failed";

impl Store {
    /// Creates the file `path` with `bytes` allocated zeros.
    ///
    /// # Errors
    ///
    /// What the system says; then no file and no block is left.
    pub fn create(path: &Path, bytes: u64, kind: StoreKind) -> io::Result<Store> {
        match kind {
            StoreKind::Mapped => {
                let mapping = Mapping::create(path, bytes)?;
                match mapping.populate(0..mapping.len()) {
                    Ok(()) => Ok(Store::Mapped(mapping)),
                    Err(error) => {
                        std::fs::remove_file(path)?;
                        Err(error)
                    }
                }
            }
            StoreKind::File => Ok(Store::File(FileBytes::of(create_allocated(path, bytes)?)?)),
        }
    }

    /// Opens a file that a dead process left, or this one has just written.
    ///
    /// # Errors
    ///
    /// What the system says; `InvalidData` where it is too short to hold a group.
    pub fn open(path: &Path, kind: StoreKind) -> io::Result<Store> {
        let store = match kind {
            StoreKind::Mapped => Store::Mapped(Mapping::open(path)?),
            StoreKind::File => Store::File(FileBytes::of(file::open_own_file(path)?)?),
        };
        if store.len() < DATA_START {
            let message = format!("{} bytes is too short for a segment", store.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(store)
    }

    /// Memory, zeroed.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn in_memory(bytes: u64) -> io::Result<Store> {
        Ok(Store::Memory(Mapping::anonymous(bytes)?))
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Store::Mapped(mapping) | Store::Memory(mapping) => mapping.len(),
            Store::File(file) => file.len,
        }
    }

    /// Whether it is memory without a file.
    pub fn is_memory(&self) -> bool {
        matches!(self, Store::Memory(_))
    }

    /// Whether its pages are lost, so that it is of no further use.
    pub fn is_dead(&self) -> bool {
        match self {
            Store::Mapped(mapping) | Store::Memory(mapping) => mapping.is_dead(),
            Store::File(_) => false,
        }
    }

    /// Stores the word `committed`.
    ///
    /// # Errors
    ///
    /// What `pwrite` says.
    pub fn store_committed(&mut self, word: u64) -> io::Result<()> {
        match self {
            Store::Mapped(mapping) | Store::Memory(mapping) => {
                // Release: as everywhere for this word, though nobody else looks here.
                mapping.atomic_u64(COMMITTED).store(word, Ordering::Release);
                Ok(())
            }
            Store::File(file) => file.file.write_all_at(&word.to_le_bytes(), COMMITTED as u64),
        }
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// What `pwrite` says.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        match self {
            Store::Mapped(mapping) | Store::Memory(mapping) => {
                mapping.write(offset, bytes);
                Ok(())
            }
            Store::File(file) => file.file.write_all_at(bytes, offset as u64),
        }
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    ///
    /// As [`StoreWriter::sync`].
    pub fn sync(&self) -> io::Result<()> {
        match self {
            Store::Mapped(mapping) => mapping.sync(0..mapping.len()),
            Store::Memory(_) => Ok(()),
            Store::File(file) => file.file.sync_all(),
        }
    }

    /// Splits it: everything below `frozen` can be read, everything above be appended to.
    pub fn split(self, frozen: usize) -> (StoreWriter, StoreReader) {
        match self {
            Store::Mapped(mapping) => {
                let (writer, reader) = append_pair(mapping, DATA_START, frozen);
                (StoreWriter::Mapped(writer), StoreReader::Mapped(reader))
            }
            Store::Memory(mapping) => {
                let (writer, reader) = append_pair(mapping, DATA_START, frozen);
                (StoreWriter::Mapped(writer), StoreReader::Memory(reader))
            }
            Store::File(file) => {
                let file = Arc::new(file);
                (StoreWriter::File(Arc::clone(&file)), StoreReader::File(file))
            }
        }
    }
}

impl StoreWriter {
    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            StoreWriter::Mapped(writer) => writer.mapping().len(),
            StoreWriter::File(file) => file.len,
        }
    }

    /// Writes `parts` one behind the other to `offset`, above the frozen mark.
    ///
    /// # Errors
    ///
    /// What `pwrite` says; or that the mapping is dead.
    pub fn write(&mut self, offset: usize, parts: &[&[u8]]) -> io::Result<()> {
        match self {
            StoreWriter::Mapped(writer) => {
                writer.write(offset, parts);
                self.check()
            }
            StoreWriter::File(file) => file.file.write_all_at(&parts.concat(), offset as u64),
        }
    }

    /// Raises the frozen mark: what is below is never written again.
    pub fn freeze(&mut self, through: usize) {
        match self {
            StoreWriter::Mapped(writer) => writer.freeze(through),
            // Nobody can slice a file.
            StoreWriter::File(_) => {}
        }
    }

    /// Stores the word `committed`: the one store that makes groups count.
    ///
    /// # Errors
    ///
    /// As [`StoreWriter::write`].
    pub fn store_committed(&self, word: u64) -> io::Result<()> {
        match self {
            StoreWriter::Mapped(writer) => {
                // Release: the group's bytes are in the mapping before; recovery is the partner.
                writer.mapping().atomic_u64(COMMITTED).store(word, Ordering::Release);
                self.check()
            }
            StoreWriter::File(file) => {
                file.file.write_all_at(&word.to_le_bytes(), COMMITTED as u64)
            }
        }
    }

    /// Makes `range` durable.
    ///
    /// # Errors
    ///
    /// After one, nothing that the kernel says about these pages is to be believed: never sync again.
    pub fn sync(&self, range: Range<usize>) -> io::Result<()> {
        match self {
            StoreWriter::Mapped(writer) => {
                writer.mapping().sync(range)?;
                self.check()
            }
            StoreWriter::File(file) => file.file.sync_data(),
        }
    }

    /// Lets the kernel take the pages back.
    pub fn forget_pages(&self) {
        if let StoreWriter::Mapped(writer) = self {
            writer.mapping().forget_pages();
        }
    }

    fn check(&self) -> io::Result<()> {
        match self {
            StoreWriter::Mapped(writer) if writer.mapping().is_dead() => {
                Err(io::Error::other(DEAD))
            }
            StoreWriter::Mapped(_) | StoreWriter::File(_) => Ok(()),
        }
    }
}

impl StoreReader {
    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => reader.mapping().len(),
            StoreReader::File(file) => file.len,
        }
    }

    /// Whether it is memory without a file.
    pub fn is_memory(&self) -> bool {
        matches!(self, StoreReader::Memory(_))
    }

    /// Whether pages of it were lost: then nothing in it is to be believed without its checksum.
    pub fn is_dead(&self) -> bool {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => reader.mapping().is_dead(),
            StoreReader::File(_) => false,
        }
    }

    /// Bytes below the frozen mark, without a copy; `None` where they must be loaded.
    pub fn slice(&self, range: Range<usize>) -> Option<&[u8]> {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => Some(reader.slice(range)),
            StoreReader::File(_) => None,
        }
    }

    /// Copies bytes out, words that may change included.
    ///
    /// # Errors
    ///
    /// What `pread` says.
    pub fn read_into(&self, offset: usize, target: &mut [u8]) -> io::Result<()> {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => {
                reader.mapping().read_into(offset, target);
                Ok(())
            }
            StoreReader::File(file) => file.read_into(offset, target),
        }
    }

    /// The word at `offset`; 0 where it cannot be read.
    pub fn word(&self, offset: usize) -> u64 {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => {
                // Acquire: partner is the store in `store_words`, of this process or a dead one.
                reader.mapping().atomic_u64(offset).load(Ordering::Acquire)
            }
            StoreReader::File(file) => file.word(offset),
        }
    }

    /// Stores consecutive words, the first one last.
    ///
    /// # Errors
    ///
    /// What `pwrite` says: then the words hold in this process, and the next store tries again.
    pub fn store_words(&self, offset: usize, words: &[u64]) -> io::Result<()> {
        match self {
            StoreReader::Mapped(reader) | StoreReader::Memory(reader) => {
                for (index, word) in words.iter().enumerate().rev() {
                    // Release: a kill before the last store leaves words that do not fit together.
                    reader.mapping().atomic_u64(offset + 8 * index).store(*word, Ordering::Release);
                }
                Ok(())
            }
            StoreReader::File(file) => file.store_words(offset, words),
        }
    }

    /// Lets the kernel take the pages back.
    pub fn forget_pages(&self) {
        if let StoreReader::Mapped(reader) = self {
            reader.mapping().forget_pages();
        }
    }

    /// The store whole again; the reader back while a writer still appends to it.
    ///
    /// # Errors
    ///
    /// The reader itself.
    pub fn into_store(self) -> Result<Store, StoreReader> {
        match self {
            StoreReader::Mapped(reader) => {
                reader.into_mapping().map(Store::Mapped).map_err(StoreReader::Mapped)
            }
            StoreReader::Memory(reader) => {
                reader.into_mapping().map(Store::Memory).map_err(StoreReader::Memory)
            }
            StoreReader::File(file) => {
                Arc::try_unwrap(file).map(Store::File).map_err(StoreReader::File)
            }
        }
    }
}
