//! Where every record of several directories is: in the order in which to print them, each once.
//!
//! An index of runs, not of records: about 64 bytes per batch. Records of logdrive come by
//! instance, in the order of its oldest record, then by record number, so that the order within a
//! producer holds across directories. Foreign records follow, by directory, partition and offset.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;

use crate::ids::InstanceId;
use crate::inspect::segment::Found;
use crate::inspect::segment::StoredBatch;
use crate::inspect::source;
use crate::inspect::source::SourceError;
use crate::inspect::source::SourceFile;
use crate::inspect::survey;
use crate::inspect::survey::Owner;

/// Consecutive records to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index of the file in [`Catalogue::files`].
    pub file: usize,
    /// Where its batch begins in the file.
    pub position: u64,
    /// Place of the first record in the batch.
    pub index: u32,
    /// How many records.
    pub count: u32,
    /// Whose they are.
    pub owner: Owner,
}

/// The index.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The segment files.
    pub files: Vec<SourceFile>,
    /// What to print, in order.
    pub entries: Vec<Entry>,
    /// Batches that cannot be read and bytes that are no batch, beyond torn ends.
    pub damaged: u64,
}

/// What a foreign producer calls a batch.
#[derive(PartialEq, Eq, Hash)]
struct ForeignBatch {
    producer_id: i64,
    epoch: i16,
    base_sequence: i32,
    record_count: i32,
    index: u32,
    /// Sequences are per partition: the index of one file of it stands for it.
    partition: usize,
}

impl Catalogue {
    /// Reads all of `dirs`, or what is of `topic` in them.
    ///
    /// # Errors
    /// When a directory or file cannot be read.
    pub fn of(dirs: &[PathBuf], topic: Option<&str>) -> Result<Self, SourceError> {
        let files = source::files(dirs, topic)?;
        let mut builder = Builder::default();
        for (number, file) in files.iter().enumerate() {
            let partition = files.iter().position(|other| other.partition == file.partition);
            let partition = partition.unwrap_or(number);
            source::walk(file, |found| match found {
                Found::Batch(batch) => builder.add(number, partition, batch),
                Found::Torn { .. } if file.is_last => {}
                Found::Damaged { .. } | Found::Torn { .. } => builder.damaged += 1,
            })?;
        }
        let damaged = builder.damaged;
        Ok(Self { files, entries: builder.finish(), damaged })
    }
}

#[derive(Default)]
struct Builder {
    entries: Vec<Entry>,
    oldest: HashMap<InstanceId, i64>,
    foreign: HashSet<ForeignBatch>,
    damaged: u64,
    scratch: Vec<u8>,
}

impl Builder {
    fn add(&mut self, file: usize, partition: usize, batch: &StoredBatch<'_>) {
        let header = &batch.header;
        let Ok(survey) = survey::survey(header, batch.body, &mut self.scratch) else {
            self.damaged += 1;
            return;
        };
        for run in survey.runs {
            let is_new = match run.owner {
                Owner::Ours { instance, .. } => {
                    let oldest = self.oldest.entry(instance).or_insert(header.base_timestamp);
                    *oldest = header.base_timestamp.min(*oldest);
                    true
                }
                Owner::Foreign if header.producer_id < 0 => true,
                Owner::Foreign => self.foreign.insert(ForeignBatch {
                    producer_id: header.producer_id,
                    epoch: header.producer_epoch,
                    base_sequence: header.base_sequence,
                    record_count: header.record_count,
                    index: run.index,
                    partition,
                }),
            };
            if is_new {
                let (index, count, owner) = (run.index, run.count, run.owner);
                self.entries.push(Entry { file, position: batch.position, index, count, owner });
            }
        }
    }

    fn finish(mut self) -> Vec<Entry> {
        let oldest = &self.oldest;
        // Stable, so foreign entries stay in the order of the files.
        self.entries.sort_by_key(|entry| match entry.owner {
            Owner::Ours { instance, first_record } => {
                let age = oldest.get(&instance).copied().unwrap_or(i64::MAX);
                (0, age, instance, first_record)
            }
            Owner::Foreign => (1, 0, InstanceId([0; 16]), 0),
        });
        drop_what_came_before(&mut self.entries);
        self.entries
    }
}

/// Cuts from sorted entries the records that an entry of the same instance before them has.
fn drop_what_came_before(entries: &mut Vec<Entry>) {
    let mut of: Option<InstanceId> = None;
    let mut next = 0u64;
    entries.retain_mut(|entry| {
        let Owner::Ours { instance, first_record } = entry.owner else { return true };
        if of != Some(instance) {
            of = Some(instance);
            next = 0;
        }
        let repeated = next.saturating_sub(first_record);
        let end = first_record.saturating_add(entry.count.into());
        next = next.max(end);
        let Some(skip) = u32::try_from(repeated).ok().filter(|skip| *skip < entry.count) else {
            return false;
        };
        entry.index += skip;
        entry.count -= skip;
        entry.owner = Owner::Ours { instance, first_record: first_record + u64::from(skip) };
        true
    });
}
