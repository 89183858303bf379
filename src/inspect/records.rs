//! The records of a catalogue, one after the other.
//!
//! Owns the open files, at most `OPEN_FILES_MAX` at once, and the buffer for one decompressed batch.

use std::collections::HashMap;
use std::collections::hash_map;
use std::path::PathBuf;

use crate::batch::DecompressError;
use crate::batch::RecordError;
use crate::batch::RecordIter;
use crate::batch::RecordView;
use crate::inspect::catalogue::Catalogue;
use crate::inspect::catalogue::Entry;
use crate::inspect::segment::Found;
use crate::inspect::segment::SegmentReader;
use crate::inspect::source;
use crate::inspect::source::SourceError;
use crate::inspect::source::SourceFile;
use crate::inspect::survey;

/// Segment files open at once.
const OPEN_FILES_MAX: usize = 64;

/// Why the records could not be read to the end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A batch is not any more where the catalogue saw it.
    #[error("{0} changed while it was read")]
    Changed(PathBuf),
    /// A batch that could be decompressed before cannot be any more.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record that could be read before cannot be any more.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A record and where it was found.
pub struct CataloguedRecord<'a> {
    /// The file.
    pub file: &'a SourceFile,
    /// The run of records it belongs to.
    pub entry: &'a Entry,
    /// Its place in that run, from 0.
    pub number: u32,
    /// Its offset in the partition.
    pub offset: i64,
    /// The record.
    pub view: RecordView<'a>,
}

/// Calls `visit` with every record of `catalogue`, in its order, until that returns an error.
///
/// # Errors
///
/// What `visit` returned, or a [`ReadError`].
pub fn for_each<E: From<ReadError>>(
    catalogue: &Catalogue,
    mut visit: impl FnMut(&CataloguedRecord<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut readers = HashMap::new();
    let mut scratch = Vec::new();
    for entry in &catalogue.entries {
        let file = &catalogue.files[entry.file];
        let reader = reader(&mut readers, entry.file, file).map_err(ReadError::from)?;
        let at = source::error_at(&file.path);
        reader.seek(entry.position).map_err(at).map_err(ReadError::from)?;
        let at = source::error_at(&file.path);
        let Some(Found::Batch(batch)) = reader.next_found().map_err(at).map_err(ReadError::from)?
        else {
            return Err(ReadError::Changed(file.path.clone()).into());
        };
        let records = survey::uncompressed(&batch.header, batch.body, &mut scratch);
        let records = records.map_err(ReadError::from)?;
        let views = RecordIter::new(&batch.header, records).skip(entry.index as usize);
        for (number, view) in (0u32..).zip(views.take(entry.count as usize)) {
            let view = view.map_err(ReadError::from)?;
            let offset = batch.header.base_offset.saturating_add(view.offset_delta.into());
            visit(&CataloguedRecord { file, entry, number, offset, view })?;
        }
    }
    Ok(())
}

fn reader<'r>(
    readers: &'r mut HashMap<usize, SegmentReader>,
    index: usize,
    file: &SourceFile,
) -> Result<&'r mut SegmentReader, SourceError> {
    if readers.len() >= OPEN_FILES_MAX && !readers.contains_key(&index) {
        readers.clear();
    }
    Ok(match readers.entry(index) {
        hash_map::Entry::Occupied(open) => open.into_mut(),
        hash_map::Entry::Vacant(closed) => {
            let opened = SegmentReader::open(&file.path);
            closed.insert(opened.map_err(source::error_at(&file.path))?)
        }
    })
}
