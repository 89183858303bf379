//! The batcher's half: commits groups, publishes them, keeps a spare segment ready.
//!
//! Owns the active segment and the numbers of what comes next. Invariants: a group is committed as one and never
//! straddles two segments: a larger one gets a segment of its own size; nothing below `committed` is written again;
//! the newest group names every ring position that was committed and not yet published, so recovery needs the
//! newest group only.

use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::ids::InstanceId;
use crate::ids::Moment;
use crate::ids::RingPosition;
use crate::spool::active::Active;
use crate::spool::condition::Condition;
use crate::spool::format::Address;
use crate::spool::format::DATA_START;
use crate::spool::segment::Activated;
use crate::spool::segment::FreeSegment;
use crate::spool::shared::Shared;
use crate::spool::store::StoreKind;
use crate::spool::types::CommitError;
use crate::spool::types::Committed;
use crate::spool::types::Group;
use crate::spool::types::Options;
use crate::spool::types::SpoolError;
use crate::spool::types::Sync;
use crate::sys::faults::Canary;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::faults::is_broken;
use crate::sys::file;

mod plan;
mod room;

use room::RETRY_PAUSE_MIN;

/// With more segments than this, the reader is behind: the pages of a full one are not needed soon.
const BACKLOG_SEGMENTS: u64 = 8;

/// Where a writer starts: what the instance has numbered so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Number of the next segment.
    pub segment: u64,
    /// Number of the next group.
    pub group: u64,
    /// Number of the next record.
    pub record: u64,
    /// Batches so far.
    pub batches: u64,
}

/// The writing half of a spool. `Send`, used by one thread at a time.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    instance: InstanceId,
    options: Options,
    shared: Arc<Shared>,
    active: Option<Active>,
    spare: Option<FreeSegment>,
    next: Next,
    unpublished: Vec<RingPosition>,
    /// What other spools take of the same quota.
    other_bytes: u64,
    last_sync: Option<Moment>,
    store: StoreKind,
    /// When the disk is tried again, in memory mode.
    retry_at: Option<Moment>,
    retry_pause: Duration,
}

impl Writer {
    pub(super) fn new(
        dir: PathBuf,
        instance: InstanceId,
        options: Options,
        shared: Arc<Shared>,
        next: Next,
    ) -> Self {
        Self {
            store: options.store.unwrap_or_else(|| StoreKind::suited_to(&dir)),
            dir,
            instance,
            options,
            shared,
            active: None,
            spare: None,
            next,
            unpublished: Vec::new(),
            other_bytes: 0,
            last_sync: None,
            retry_at: None,
            retry_pause: RETRY_PAUSE_MIN,
        }
    }

    /// How the disk does, for whoever wants to know.
    pub fn condition(&self) -> Arc<Condition> {
        Arc::clone(self.shared.condition())
    }

    /// How segment files are written.
    pub fn store(&self) -> StoreKind {
        self.store
    }

    /// Number of the record that the next group must start with.
    pub fn next_record(&self) -> u64 {
        self.next.record
    }

    /// Whether the reader can see everything that was committed.
    pub(super) fn is_published(&self) -> bool {
        self.active.as_ref().is_none_or(|active| active.position() == self.shared.published())
    }

    /// Whether the next segment has to be allocated: the moment to say what others take of the quota.
    pub fn will_allocate(&self) -> bool {
        let is_half_full = self.active.as_ref().is_none_or(Active::is_half_full);
        is_half_full && self.spare.is_none() && self.shared.free_count() == 0
    }

    /// Other spools take so much of `bytes_max`. Two segments are always allowed, the active one and the next: with
    /// less no spool can work, and nothing of its own could give way.
    pub fn set_other_bytes(&mut self, bytes: u64) {
        self.other_bytes = bytes;
    }

    /// Bytes that this spool may occupy: all of the quota but what others take of it, and two segments in any case.
    pub fn quota_bytes(&self) -> u64 {
        self.allowed_bytes(self.options.segment_bytes)
    }

    /// Bytes that may still be committed before a commit finds the spool full.
    pub fn room_bytes(&self) -> u64 {
        let segment_bytes = self.options.segment_bytes;
        let active = self.active.as_ref().map_or(0, |active| active.room() as u64);
        let unused = self.shared.free_count() + usize::from(self.spare.is_some());
        let allowed = self.quota_bytes().saturating_sub(self.shared.used_bytes());
        active + (unused as u64 + allowed / segment_bytes) * segment_bytes
    }

    /// The spool's directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends a group: all of it or nothing. When this returns, the group survives a crash of the
    /// process (and with [`Sync::Batch`] a power cut), but the reader does not see it before
    /// [`Writer::publish`]. Where the disk fails, the group goes to another segment, in the end to memory: then it
    /// survives no crash, and [`Condition::is_memory_mode`] says so.
    ///
    /// Blocks only where a segment must be allocated (see [`Writer::prepare`]) or synced.
    ///
    /// # Errors
    ///
    /// See [`CommitError`]; nothing of the group is in the spool then, and it can be committed
    /// again.
    pub fn commit(&mut self, group: &Group<'_>) -> Result<Committed, CommitError> {
        let plan = self.plan(group)?;
        let group_bytes = plan.header.group_bytes as usize;
        let durable = self.options.sync == Sync::Batch;
        // At most once: a disk that fails leads to memory, which does not.
        let committed = loop {
            if self.active.as_ref().is_none_or(|active| active.room() < group_bytes) {
                self.roll(self.segment_bytes_for(group_bytes))?;
            }
            let active = self.active.as_mut().expect("just rolled");
            match active.commit(self.instance, group, &plan, durable) {
                Ok(()) => {
                    let (segment, end_offset) = (active.number, active.end as u64);
                    break Committed { segment, end_offset, group: self.next.group };
                }
                Err(source) if active.is_memory || self.options.memory_bytes_max == 0 => {
                    return Err(CommitError::Io { action: "write the group", source });
                }
                Err(_) => self.enter_memory_mode(),
            }
        };
        self.next.group += 1;
        self.next.record += plan.header.record_count;
        self.next.batches += u64::from(plan.header.batch_count);
        self.unpublished = plan.positions;
        Ok(committed)
    }

    /// Lets the reader see all committed groups: to be called after the ring positions they name
    /// were stored in the rings (I3), or else recovery may seal records that were sent already.
    pub fn publish(&mut self) {
        if let Some(active) = &self.active {
            self.shared.publish(active.position(), self.next.record, self.next.batches);
        }
        self.unpublished.clear();
    }

    /// Allocates the next segment and all of its pages, when the active one is half full: so that
    /// `commit` never waits for the kernel. To be called off the hot path; a failure is left to the
    /// commit that needs the segment, where it can be reported. In memory mode it tries the disk again from time
    /// to time.
    pub fn prepare(&mut self, now: Moment) {
        if self.shared.condition().is_memory_mode() {
            self.try_disk(now);
            return;
        }
        let is_half_full = self.active.as_ref().is_none_or(Active::is_half_full);
        if is_half_full && self.spare.is_none() {
            self.spare = self.free_segment(self.options.segment_bytes).ok();
        }
    }

    /// With [`Sync::Interval`], forces what was committed to the disk when the interval has passed
    /// since the last time; otherwise does nothing. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// `Io`: what was committed since the last success may not survive a power cut until the reader has given it
    /// another file (it does survive a crash of the process). It is not tried again in place, because a second
    /// sync would say that all is well; the next group goes to another segment.
    pub fn sync_due(&mut self, now: Moment) -> Result<(), SpoolError> {
        let Sync::Interval(interval) = self.options.sync else { return Ok(()) };
        if self.last_sync.is_some_and(|last| now.since(last) < interval) {
            return Ok(());
        }
        self.last_sync = Some(now);
        let Some(active) = &mut self.active else { return Ok(()) };
        let Err(source) = active.sync_rest() else { return Ok(()) };
        self.enter_memory_mode();
        // So that the reader has it whole and can copy it; where there is no segment, the next commit says so.
        let _ = self.roll(self.options.segment_bytes);
        Err(SpoolError::io("sync a segment in", &self.dir)(source))
    }

    /// Forces what was committed to the disk, except with [`Sync::None`]: for the last one to commit here.
    ///
    /// # Errors
    ///
    /// `Io`: as of [`Writer::sync_due`].
    pub fn sync_rest(&mut self) -> Result<(), SpoolError> {
        match &mut self.active {
            Some(active) if self.options.sync != Sync::None => {
                active.sync_rest().map_err(SpoolError::io("sync a segment in", &self.dir))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Makes a free segment of `bytes` the active one. On an error the old one stays active, still full.
    fn roll(&mut self, bytes: u64) -> Result<(), CommitError> {
        if self.options.sync != Sync::None
            && let Some(active) = &mut self.active
            && active.sync_rest().is_err()
        {
            self.enter_memory_mode();
        }
        // At most twice: what a disk fails to activate, memory does not.
        loop {
            let free = self.next_segment(bytes)?;
            match self.activate(free) {
                Ok(()) => return Ok(()),
                Err(error) if self.options.memory_bytes_max == 0 => return Err(error),
                Err(_) => self.enter_memory_mode(),
            }
        }
    }

    fn activate(&mut self, free: FreeSegment) -> Result<(), CommitError> {
        let number = self.next.segment;
        let start = self.active.as_ref().map_or(0, Active::position);
        let address = Address { instance: self.instance, segment: number };
        let is_memory = free.is_memory();
        let Activated { writer: store, segment, is_suspect } =
            match free.activate(&self.dir, address, start) {
                Ok(activated) => activated,
                Err((free, source)) => {
                    // Where it cannot be removed, recovery will do it: it holds nothing.
                    let _kept = self.discard(free);
                    return Err(CommitError::Io { action: "begin the next segment", source });
                }
            };
        self.next.segment += 1;
        let synced = DATA_START;
        let active = Active { store, number, start, end: synced, synced, is_memory, is_suspect };
        if let Some(full) = &self.active
            && self.shared.used_bytes() > BACKLOG_SEGMENTS * self.options.segment_bytes
        {
            full.store.forget_pages();
        }
        // Drops our half of the old one before the reader can know that it is full: then the reader
        // can have it whole.
        self.active = Some(active);
        self.shared.arrive(Arc::new(segment));
        if self.options.sync != Sync::None && !is_memory {
            self.sync_names().map_err(|source| CommitError::Io {
                action: "make the new segment's name durable",
                source,
            })?;
        }
        Ok(())
    }

    /// A segment whose name may not survive a power cut is not used.
    fn sync_names(&mut self) -> io::Result<()> {
        if is_broken(Canary::DirectorySync) {
            return Ok(());
        }
        let synced = file::sync_directory(&self.dir);
        match (&synced, &self.active) {
            (Err(_), Some(active)) => active.give_up(),
            (Ok(()), _) | (Err(_), None) => crash_point(Point::DirectorySynced),
        }
        synced
    }
}

#[cfg(test)]
mod tests;
