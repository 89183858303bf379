//! One partition: a directory of segments, the next offset, and when to begin a new segment.
//!
//! Must not know the wire, repeats or other partitions. Invariants: offsets only rise and are given
//! out once per file; a segment that failed is left behind and its unsynced range reported.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Moment;
use crate::receiver::segment::Segment;

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollPolicy {
    pub segment_bytes: u64,
    pub segment_age: Duration,
    /// Whether acknowledgements wait for syncs, so that a segment must be synced before it is left.
    pub durable: bool,
}

/// A write or sync failed. `in_doubt` is what had been appended since the last sync.
#[derive(Debug)]
pub(crate) struct SegmentFailed {
    pub error: io::Error,
    pub in_doubt: Option<Range<u64>>,
}

/// A partition that is being appended to.
pub(crate) struct Partition {
    dir: PathBuf,
    next_offset: u64,
    active: Option<Segment>,
    /// Whether a file was created whose directory entry is not durable yet.
    dir_unsynced: bool,
}

impl Partition {
    /// A partition in `dir`, which exists, that goes on at `next_offset`, in `active` if there is
    /// room.
    pub fn new(dir: PathBuf, next_offset: u64, active: Option<Segment>) -> Self {
        Self { dir, next_offset, active, dir_unsynced: true }
    }

    /// Appends a batch of `record_count` records and returns the offset of its first.
    pub fn append(
        &mut self,
        batch: &[u8],
        record_count: u32,
        policy: &RollPolicy,
        now: Moment,
    ) -> Result<u64, SegmentFailed> {
        if self.is_full(batch.len() as u64, policy, now) {
            self.roll(policy)?;
        }
        let base_offset = self.next_offset;
        let records = base_offset..base_offset + u64::from(record_count);
        if self.active.is_none() {
            let created = Segment::create(&self.dir, base_offset, now);
            self.active = Some(created.map_err(|error| self.could_not_create(error))?);
            self.dir_unsynced = true;
        }
        let active = self.active.as_mut().expect("created above");
        if let Err(error) = active.append(batch, records.clone()) {
            return Err(self.fail(error));
        }
        self.next_offset = records.end;
        Ok(base_offset)
    }

    /// Makes all that was appended durable: data, and the directory entry of a new file.
    pub fn sync(&mut self) -> Result<(), SegmentFailed> {
        if let Some(active) = &mut self.active {
            let synced = active.sync_bytes().and_then(|()| match self.dir_unsynced {
                true => sync_directory(&self.dir),
                false => Ok(()),
            });
            if let Err(error) = synced {
                active.mark_in_doubt();
                return Err(self.fail(error));
            }
            active.note_synced();
        }
        self.dir_unsynced = false;
        Ok(())
    }

    /// Gives the file handle back, synced first where that is owed.
    pub fn close_file(&mut self, policy: &RollPolicy) -> Result<(), SegmentFailed> {
        if policy.durable {
            self.sync()?;
        }
        if let Some(active) = &mut self.active {
            active.close();
        }
        Ok(())
    }

    /// Whether it holds a file handle.
    pub fn is_open(&self) -> bool {
        self.active.as_ref().is_some_and(Segment::is_open)
    }

    fn is_full(&self, batch_bytes: u64, policy: &RollPolicy, now: Moment) -> bool {
        self.active.as_ref().is_some_and(|active| {
            active.bytes() > 0
                && (active.bytes() + batch_bytes > policy.segment_bytes
                    || now.since(active.started()) >= policy.segment_age)
        })
    }

    fn roll(&mut self, policy: &RollPolicy) -> Result<(), SegmentFailed> {
        if policy.durable {
            self.sync()?;
        }
        self.active = None;
        Ok(())
    }

    /// Leaves the active segment for good.
    fn fail(&mut self, error: io::Error) -> SegmentFailed {
        let Some(failed) = self.active.take() else {
            return SegmentFailed { error, in_doubt: None };
        };
        let in_doubt = failed.unsynced();
        let base_offset = failed.base_offset();
        if !failed.abandon() && base_offset == self.next_offset {
            self.next_offset += 1;
        }
        SegmentFailed { error, in_doubt }
    }

    fn could_not_create(&mut self, error: io::Error) -> SegmentFailed {
        if error.kind() == io::ErrorKind::AlreadyExists {
            self.next_offset += 1;
        }
        SegmentFailed { error, in_doubt: None }
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(dir: &std::path::Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}
