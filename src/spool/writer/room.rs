//! Where the writer gets its segments: released ones, new files within the quota, memory while the disk refuses files.

use std::io;
use std::time::Duration;

use crate::ids::Moment;
use crate::spool::format::DATA_START;
use crate::spool::segment::FreeSegment;
use crate::spool::types::CommitError;
use crate::spool::writer::Writer;

/// First and longest pause before the disk is tried again: soon enough that ten seconds after its trouble ended
/// segments are files again.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Writer {
    /// Length of the segment that a group of so many bytes needs.
    pub(super) fn segment_bytes_for(&self, group_bytes: usize) -> u64 {
        let needed = (DATA_START + group_bytes).next_multiple_of(DATA_START);
        self.options.segment_bytes.max(needed as u64)
    }

    /// The next segment to be written, of `bytes`.
    pub(super) fn next_segment(&mut self, bytes: u64) -> Result<FreeSegment, CommitError> {
        if bytes == self.options.segment_bytes {
            if let Some(spare) = self.spare.take() {
                return Ok(spare);
            }
        } else {
            // Those of the usual size are of no use for it, and each takes of the quota. One that cannot be removed
            // stays counted, and recovery will do it: it holds nothing.
            let _kept = self.discard_free();
        }
        self.free_segment(bytes)
    }

    /// Removes the files of free segments: also for a spool that nobody will write to again.
    ///
    /// # Errors
    ///
    /// What the file system said; recovery removes the file.
    pub fn discard_free(&mut self) -> io::Result<()> {
        while let Some(free) = self.spare.take().or_else(|| self.shared.take_free()) {
            self.discard(free)?;
        }
        Ok(())
    }

    pub(super) fn discard(&self, free: FreeSegment) -> io::Result<()> {
        let (is_memory, bytes) = (free.is_memory(), free.segment_bytes());
        free.remove()?;
        self.shared.count_removed(bytes);
        if is_memory {
            self.shared.condition().count_memory_ended(bytes);
        }
        Ok(())
    }

    /// The bound on this spool's own files, where `bytes` are needed next.
    pub(super) fn allowed_bytes(&self, bytes: u64) -> u64 {
        let rest = self.options.bytes_max.saturating_sub(self.other_bytes);
        rest.max(self.least_bytes(bytes))
    }

    /// What is allowed in any case: the active segment ends only when there is a next one.
    fn least_bytes(&self, bytes: u64) -> u64 {
        let active = self.active.as_ref().map(|active| active.store.len() as u64);
        active.unwrap_or(self.options.segment_bytes) + bytes
    }

    /// A released segment, whose pages are in the cache, or else a new one within the quota: a file, or memory
    /// while the disk refuses files.
    pub(super) fn free_segment(&mut self, bytes: u64) -> Result<FreeSegment, CommitError> {
        if !self.shared.condition().is_memory_mode() {
            match self.free_file(bytes) {
                Err(CommitError::Io { .. }) if self.options.memory_bytes_max > 0 => {
                    self.enter_memory_mode();
                }
                free_or_full => return free_or_full,
            }
        }
        let is_larger = bytes != self.options.segment_bytes;
        match self.free_memory(bytes) {
            // The disk is in trouble, but a file was released, or removed for a larger one: what gave way must not
            // have done so for nothing.
            Err(full @ CommitError::Full { .. }) if is_larger || self.shared.free_count() > 0 => {
                self.free_file(bytes).or(Err(full))
            }
            free_or_error => free_or_error,
        }
    }

    fn free_memory(&mut self, bytes: u64) -> Result<FreeSegment, CommitError> {
        self.check_quota(bytes)?;
        let bytes_max = self.options.memory_bytes_max.max(self.least_bytes(bytes));
        let used_bytes = self.shared.condition().memory_bytes();
        if used_bytes + bytes > bytes_max {
            return Err(CommitError::Full { used_bytes, bytes_max });
        }
        let free = FreeSegment::in_memory(bytes)
            .map_err(|source| CommitError::Io { action: "allocate memory", source })?;
        self.shared.count_created(bytes);
        self.shared.condition().count_memory_created(bytes);
        Ok(free)
    }

    fn free_file(&mut self, bytes: u64) -> Result<FreeSegment, CommitError> {
        if bytes == self.options.segment_bytes
            && let Some(free) = self.shared.take_free()
        {
            return Ok(free);
        }
        self.check_quota(bytes)?;
        let free = FreeSegment::create(&self.dir, bytes, self.store)
            .map_err(|source| CommitError::Io { action: "allocate a segment", source })?;
        self.shared.count_created(bytes);
        Ok(free)
    }

    fn check_quota(&self, bytes: u64) -> Result<(), CommitError> {
        let bytes_max = self.allowed_bytes(bytes);
        let used_bytes = self.shared.used_bytes();
        if used_bytes.saturating_add(bytes) > bytes_max {
            return Err(CommitError::Full { used_bytes, bytes_max });
        }
        Ok(())
    }

    pub(super) fn enter_memory_mode(&mut self) {
        if self.options.memory_bytes_max > 0 {
            self.shared.condition().set_memory_mode(true);
        }
    }

    /// Leaves memory mode as soon as a file can be had; pauses double while none can.
    pub(super) fn try_disk(&mut self, now: Moment) {
        let retry_at = *self.retry_at.get_or_insert_with(|| now.after(self.retry_pause));
        if now < retry_at {
            return;
        }
        // The spare of an earlier try is kept: the reader that moves segments there may have found the disk full again.
        let spare = self.spare.take();
        match spare.map_or_else(|| self.free_file(self.options.segment_bytes), Ok) {
            Ok(free) => {
                self.spare = Some(free);
                self.retry_at = None;
                self.retry_pause = RETRY_PAUSE_MIN;
                self.shared.condition().set_memory_mode(false);
                if self.active.as_ref().is_some_and(|active| active.is_memory) {
                    // So that the reader has it whole and can move it. Where that fails, the mode is back.
                    let _ = self.roll(self.options.segment_bytes);
                }
            }
            Err(_) => {
                self.retry_at = Some(now.after(self.retry_pause));
                self.retry_pause = (self.retry_pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}
