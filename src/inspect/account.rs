//! Whether everything that was logged is in the receivers' directories, all taken together.
//!
//! Record numbers of an instance run from 0 without holes (I11), so a hole that no loss record
//! explains is a loss. What was never received at an instance's end cannot be seen from here.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use crate::ids::InstanceId;
use crate::inspect::layout;
use crate::inspect::ranges::Ranges;
use crate::inspect::segment::Found;
use crate::inspect::segment::StoredBatch;
use crate::inspect::source;
use crate::inspect::source::SourceError;
use crate::inspect::source::SourceFile;
use crate::inspect::survey;
use crate::inspect::survey::Owner;

/// What is wrong at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: u64,
    /// How many bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problem: String,
}

/// The account of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceAccount {
    /// The process's run.
    pub instance: InstanceId,
    /// Batches, repeats included.
    pub batches: u64,
    /// Records, each counted once.
    pub records: u64,
    /// Records received again.
    pub duplicates: u64,
    /// Records that loss records explain, and that were not received.
    pub lost: u64,
    /// Records that nothing explains.
    pub missing: u64,
    /// Where those are.
    pub gaps: Vec<Range<u64>>,
    /// How many records it logged in all, if that was said: without it nobody can tell what is missing at the end.
    pub expected: Option<u64>,
    /// Records that are there beyond that number.
    pub beyond: u64,
}

/// The account of several directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Segment files read.
    pub files: u64,
    /// Good batches, repeats included.
    pub batches: u64,
    /// Records in them, repeats included.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What is damaged.
    pub damaged: Vec<Damage>,
    /// Torn ends of last segments, as a crash or a write under way leaves them: never acknowledged.
    pub torn: Vec<Damage>,
    /// What restarts cut off as torn and keep beside the segments: never acknowledged, unless the disk damaged the very
    /// last batch of a file.
    pub set_aside: Vec<Damage>,
    /// By instance.
    pub instances: Vec<InstanceAccount>,
    /// Batches without our identity, repeats included.
    pub foreign_batches: u64,
    /// Records in them, repeats left out.
    pub foreign_records: u64,
    /// Exact repeats among them, by producer id, epoch and sequences.
    pub foreign_duplicates: u64,
}

impl Account {
    /// Reads all of `dirs`.
    ///
    /// # Errors
    /// When a directory or file cannot be read.
    pub fn of(dirs: &[PathBuf]) -> Result<Self, SourceError> {
        Self::expecting(dirs, &[])
    }

    /// As [`Account::of`]; `expected` says of instances how many records they logged in all.
    ///
    /// # Errors
    /// When a directory or file cannot be read.
    pub fn expecting(
        dirs: &[PathBuf],
        expected: &[(InstanceId, u64)],
    ) -> Result<Self, SourceError> {
        let files = source::files(dirs, None)?;
        let mut builder = Builder::default();
        builder.account.files = files.len() as u64;
        for (instance, records) in expected {
            builder.instances.entry(instance.0).or_default().expected = Some(*records);
        }
        for (number, file) in files.iter().enumerate() {
            let partition = files.iter().position(|other| other.partition == file.partition);
            let partition = partition.unwrap_or(number);
            let mut next_offset = 0;
            source::walk(file, |found| builder.add(file, partition, found, &mut next_offset))?;
            builder.account.set_aside.extend(set_aside(file)?);
        }
        Ok(builder.finish())
    }

    /// Whether nothing is damaged, nothing is missing, and no instance has more records than were expected.
    pub fn is_complete(&self) -> bool {
        let is_beyond = self.instances.iter().any(|instance| instance.beyond > 0);
        self.damaged.is_empty() && self.missing() == 0 && !is_beyond
    }

    /// Records that nothing explains, over all instances.
    pub fn missing(&self) -> u64 {
        self.instances.iter().map(|instance| instance.missing).sum()
    }
}

fn set_aside(file: &SourceFile) -> Result<Option<Damage>, SourceError> {
    let path = layout::torn_path(&file.path);
    match std::fs::metadata(&path) {
        Ok(metadata) => {
            let problem = "cut off by a restart".to_owned();
            Ok(Some(Damage { path, position: 0, bytes: metadata.len(), problem }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(source::error_at(&path)(error)),
    }
}

#[derive(Default)]
struct Received {
    batches: u64,
    received: Ranges,
    lost: Ranges,
    expected: Option<u64>,
}

#[derive(Default)]
struct Builder {
    account: Account,
    instances: BTreeMap<[u8; 16], Received>,
    foreign: HashSet<(usize, i64, i16, i32, i32)>,
    scratch: Vec<u8>,
}

impl Builder {
    fn add(
        &mut self,
        file: &SourceFile,
        partition: usize,
        found: &Found<'_>,
        next_offset: &mut i64,
    ) {
        let damage = |position, bytes, problem: String| {
            let path = file.path.clone();
            Damage { path, position, bytes, problem }
        };
        match *found {
            Found::Batch(batch) => {
                let bytes = batch.end() - batch.position;
                if batch.header.base_offset < *next_offset {
                    let base_offset = batch.header.base_offset;
                    let problem = format!("offset {base_offset} comes after {next_offset}");
                    self.account.damaged.push(damage(batch.position, bytes, problem));
                }
                let last_offset_delta = i64::from(batch.header.last_offset_delta);
                *next_offset = batch.header.base_offset.saturating_add(last_offset_delta + 1);
                if let Err(error) = self.add_batch(partition, &batch) {
                    let damage = damage(batch.position, bytes, error.to_string());
                    self.account.damaged.push(damage);
                }
            }
            Found::Torn { position, bytes } if file.is_last => {
                let problem = "the file ends within a batch".to_owned();
                self.account.torn.push(damage(position, bytes, problem));
            }
            Found::Damaged { position, bytes } | Found::Torn { position, bytes } => {
                let problem = "header or CRC is wrong".to_owned();
                self.account.damaged.push(damage(position, bytes, problem));
            }
        }
    }

    fn add_batch(
        &mut self,
        partition: usize,
        batch: &StoredBatch<'_>,
    ) -> Result<(), survey::SurveyError> {
        let header = &batch.header;
        let survey = survey::survey(header, batch.body, &mut self.scratch)?;
        let account = &mut self.account;
        account.batches += 1;
        account.records += u64::from(header.record_count.cast_unsigned());
        account.bytes += batch.end() - batch.position;
        let mut foreign_records = 0;
        for run in survey.runs {
            match run.owner {
                Owner::Ours { instance, first_record } => {
                    let of = self.instances.entry(instance.0).or_default();
                    of.batches += 1;
                    of.received.add(first_record, run.count.into());
                }
                Owner::Foreign => foreign_records += u64::from(run.count),
            }
        }
        for loss in survey.losses {
            let of = self.instances.entry(loss.instance.0).or_default();
            of.lost.add(loss.first_record, loss.count);
        }
        if foreign_records > 0 {
            account.foreign_batches += 1;
            let key = (
                partition,
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                header.record_count,
            );
            if header.producer_id < 0 || self.foreign.insert(key) {
                account.foreign_records += foreign_records;
            } else {
                account.foreign_duplicates += 1;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Account {
        let instances = std::mem::take(&mut self.instances);
        self.account.instances = instances.into_iter().map(|(id, of)| of.account(id)).collect();
        self.account
    }
}

impl Received {
    fn account(self, instance: [u8; 16]) -> InstanceAccount {
        let received = self.received.coverage();
        let mut explained = self.lost;
        for range in &received.covered {
            explained.add(range.start, range.end - range.start);
        }
        let explained = explained.coverage();
        let mut gaps = explained.gaps();
        let end = explained.covered.last().map_or(0, |range| range.end);
        if let Some(expected) = self.expected.filter(|expected| *expected > end) {
            gaps.push(end..expected);
        }
        InstanceAccount {
            instance: InstanceId(instance),
            batches: self.batches,
            records: received.unique,
            duplicates: received.repeated,
            lost: explained.unique - received.unique,
            missing: gaps.iter().map(|gap| gap.end - gap.start).sum(),
            gaps,
            expected: self.expected,
            beyond: self.expected.map_or(0, |expected| end.saturating_sub(expected)),
        }
    }
}
