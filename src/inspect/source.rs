//! All batches of several receivers' directories, one after the other.
//!
//! Owns the walk over directories, partitions and segments. Keeps one file open at a time.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::inspect::layout;
use crate::inspect::layout::TopicPartition;
use crate::inspect::segment::Found;
use crate::inspect::segment::SegmentReader;

/// A directory or file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {error}")]
pub struct SourceError {
    /// What was being read.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub error: io::Error,
}

/// One segment file of one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whose partition it is a part of.
    pub partition: TopicPartition,
    /// Whether no later segment follows: only there a crash leaves a torn end.
    pub is_last: bool,
}

/// The segment files of all directories: by directory, then partition, then offset.
///
/// # Errors
/// When a directory cannot be listed.
pub fn files(dirs: &[PathBuf], topic: Option<&str>) -> Result<Vec<SourceFile>, SourceError> {
    let mut found = Vec::new();
    for dir in dirs {
        for partition in layout::partitions(dir).map_err(error_at(dir))? {
            if topic.is_some_and(|topic| topic != partition.topic) {
                continue;
            }
            let partition_dir = dir.join(partition.directory_name());
            let segments = layout::segments(&partition_dir).map_err(error_at(&partition_dir))?;
            let last = segments.len();
            for (number, segment) in (1..).zip(segments) {
                let partition = partition.clone();
                let is_last = number == last;
                found.push(SourceFile { path: segment.path, partition, is_last });
            }
        }
    }
    Ok(found)
}

/// Calls `visit` with everything that stands in `file`.
///
/// # Errors
/// When the file cannot be read.
pub fn walk(file: &SourceFile, mut visit: impl FnMut(&Found<'_>)) -> Result<(), SourceError> {
    let mut reader = SegmentReader::open(&file.path).map_err(error_at(&file.path))?;
    while let Some(found) = reader.next_found().map_err(error_at(&file.path))? {
        visit(&found);
    }
    Ok(())
}

/// Adds the path to what the operating system said.
pub fn error_at(path: &Path) -> impl FnOnce(io::Error) -> SourceError + '_ {
    move |error| SourceError { path: path.to_owned(), error }
}
