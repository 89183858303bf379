//! Where the writer gets its segments: released ones, new files within the quota, memory while the disk refuses files.

use std::time::Duration;

use crate::ids::Moment;
use crate::spool::segment::FreeSegment;
use crate::spool::types::CommitError;
use crate::spool::writer::Writer;

/// First and longest pause before the disk is tried again: soon enough that ten seconds after its trouble ended
/// segments are files again.
pub const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Writer {
    /// A released segment, whose pages are in the cache, or else a new one within the quota: a file, or memory
    /// while the disk refuses files.
    pub(super) fn free_segment(&mut self) -> Result<FreeSegment, CommitError> {
        if !self.shared.condition().is_memory_mode() {
            match self.free_file() {
                Err(CommitError::Io { .. }) if self.options.memory_bytes_max > 0 => {
                    self.enter_memory_mode();
                }
                free_or_full => return free_or_full,
            }
        }
        let segment_bytes = self.options.segment_bytes;
        self.check_quota()?;
        let (used_bytes, bytes_max) =
            (self.shared.condition().memory_bytes(), self.options.memory_bytes_max);
        if used_bytes + segment_bytes > bytes_max {
            return Err(CommitError::Full { used_bytes, bytes_max });
        }
        let free = FreeSegment::in_memory(segment_bytes)
            .map_err(|source| CommitError::Io { action: "allocate memory", source })?;
        self.shared.count_created(segment_bytes);
        self.shared.condition().count_memory_created(segment_bytes);
        Ok(free)
    }

    fn free_file(&mut self) -> Result<FreeSegment, CommitError> {
        if let Some(free) = self.shared.take_free() {
            return Ok(free);
        }
        self.check_quota()?;
        let segment_bytes = self.options.segment_bytes;
        let free = FreeSegment::create(&self.dir, segment_bytes, self.store)
            .map_err(|source| CommitError::Io { action: "allocate a segment", source })?;
        self.shared.count_created(segment_bytes);
        Ok(free)
    }

    fn check_quota(&self) -> Result<(), CommitError> {
        let bytes_max = self.allowed_bytes();
        let used_bytes = self.shared.used_bytes();
        if used_bytes.saturating_add(self.options.segment_bytes) > bytes_max {
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
        match self.free_file() {
            Ok(free) => {
                self.spare = Some(free);
                self.retry_at = None;
                self.retry_pause = RETRY_PAUSE_MIN;
                self.shared.condition().set_memory_mode(false);
                if self.active.as_ref().is_some_and(|active| active.is_memory) {
                    // So that the reader has it whole and can move it. Where that fails, the mode is back.
                    let _ = self.roll();
                }
            }
            Err(_) => {
                self.retry_at = Some(now.after(self.retry_pause));
                self.retry_pause = (self.retry_pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}
