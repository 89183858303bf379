//! What a spool's directory holds: a look at its files that takes nothing and changes nothing.
//!
//! Works beside a living owner, whose segments change their contents and names meanwhile: then every
//! file is seen at one instant of its own, and one that vanishes or is recycled under our eyes is passed over.
//! Counts what waits, by the checksums that recovery goes by; what was resolved already is not
//! counted. Records that are still in the rings, in the arena's file, are not looked at.

mod segment;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::batch::Header;
use crate::ids::InstanceId;
use crate::inspect::source;
use crate::inspect::source::SourceError;
use crate::inspect::spool::segment::Contents;
use crate::inspect::spool::segment::Stored;
use crate::spool;

/// What waits in one spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolView {
    /// Segment files.
    pub segments: u64,
    /// Bytes of them; they are allocated whole.
    pub segment_bytes: u64,
    /// Batches that wait for an acknowledgement.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Time of the oldest waiting batch's first record, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// The waiting batches that were sent at least once, or were about to be: their fate is unknown.
    pub bound: Vec<Bound>,
    /// What cannot be read, by file: the file, and what is wrong.
    pub problems: Vec<(PathBuf, String)>,
    /// Files that an earlier recovery set aside because it could not read them.
    pub quarantined: u64,
}

/// Waiting batches under one producer id: they are only ever sent again with these numbers (I4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The topic.
    pub topic: String,
    /// The partition of it.
    pub partition: i32,
    /// Kafka's producer id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The lowest sequence number.
    pub first_sequence: i32,
    /// The highest one: of the last record, not of the last batch.
    pub last_sequence: i32,
    /// Batches.
    pub batches: u64,
}

/// Reads the spool of `instance` in `dir`.
///
/// # Errors
///
/// When the directory cannot be listed. What is wrong with a file is among the problems.
pub fn read(dir: &Path, instance: InstanceId) -> Result<SpoolView, SourceError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(source::error_at(dir))? {
        let path = entry.map_err(source::error_at(dir))?.path();
        if path.extension().is_some_and(|extension| extension == spool::SEGMENT_EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut reader = Reader::default();
    for path in paths {
        reader.add(path, instance);
    }
    let quarantine = fs::read_dir(dir.join(spool::QUARANTINE_DIR));
    reader.view.quarantined = quarantine.map_or(0, |entries| entries.count() as u64);
    reader.view.bound = reader.bound.into_values().collect();
    Ok(reader.view)
}

#[derive(Default)]
struct Reader {
    view: SpoolView,
    bound: BTreeMap<(String, i32, i64, i16), Bound>,
    scratch: Vec<u8>,
}

impl Reader {
    fn add(&mut self, path: PathBuf, instance: InstanceId) {
        let mut scratch = std::mem::take(&mut self.scratch);
        match segment::read(&path, instance, &mut scratch) {
            Ok(None) => {}
            Ok(Some(contents)) => {
                self.view.segments += 1;
                self.view.segment_bytes += contents.file_bytes();
                self.add_contents(&path, &contents);
            }
            Err(problem) => self.view.problems.push((path, problem.to_string())),
        }
        self.scratch = scratch;
    }

    fn add_contents(&mut self, path: &Path, contents: &Contents<'_>) {
        let damaged = contents.visit(|stored| self.add_batch(&stored));
        if damaged > 0 {
            let problem = format!("{damaged} bytes among its batches are unreadable");
            self.view.problems.push((path.to_owned(), problem));
        }
    }

    fn add_batch(&mut self, stored: &Stored<'_>) {
        let view = &mut self.view;
        view.batches += 1;
        view.records += u64::from(stored.header.record_count);
        view.bytes += u64::from(stored.header.frame_bytes);
        let sealed = Header::decode(stored.batch_header);
        let time = sealed.map_or(stored.header.max_timestamp, |sealed| sealed.base_timestamp);
        view.oldest_ms = Some(view.oldest_ms.map_or(time, |oldest| oldest.min(time)));
        let Some(binding) = stored.binding else { return };
        let records = i32::try_from(stored.header.record_count).unwrap_or(i32::MAX);
        let last_sequence = binding.base_sequence.saturating_add(records - 1);
        let key = (stored.topic.to_owned(), binding.partition, binding.producer_id, binding.epoch);
        let bound = self.bound.entry(key).or_insert_with(|| Bound {
            topic: stored.topic.to_owned(),
            partition: binding.partition,
            producer_id: binding.producer_id,
            epoch: binding.epoch,
            first_sequence: binding.base_sequence,
            last_sequence,
            batches: 0,
        });
        bound.first_sequence = bound.first_sequence.min(binding.base_sequence);
        bound.last_sequence = bound.last_sequence.max(last_sequence);
        bound.batches += 1;
    }
}

#[cfg(test)]
mod tests;
