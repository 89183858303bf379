//! The segment that groups are appended to: copy, commit, make durable, take back.
//!
//! Invariants: nothing below `committed` is written again; a group counts from the one store that
//! moves `committed`; a segment whose sync failed takes no more groups.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::DATA_START;
use crate::spool::format::FRAME_WORDS_BYTES;
use crate::spool::format::FrameHeader;
use crate::spool::format::GROUP_HEADER_BYTES;
use crate::spool::format::GroupHeader;
use crate::spool::store::StoreWriter;
use crate::spool::types::BATCH_HEADER_BYTES;
use crate::spool::types::Group;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;

/// The segment that groups are appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) store: StoreWriter,
    pub(super) number: u64,
    /// Position of its first group in the stream of committed bytes.
    pub(super) start: u64,
    /// Offset behind the last committed group.
    pub(super) end: usize,
    /// Offset up to which groups are durable.
    pub(super) synced: usize,
    /// Whether it is memory, not a file.
    pub(super) is_memory: bool,
    /// Its disk failed: nothing more goes in, and what is in gets another home. Shared with the segment.
    pub(super) is_suspect: Arc<AtomicBool>,
}

impl Active {
    pub(super) fn position(&self) -> u64 {
        self.start + (self.end - DATA_START) as u64
    }

    /// Whether it is time to have the next one ready.
    pub(super) fn is_half_full(&self) -> bool {
        self.room() < self.store.len() / 2
    }

    pub(super) fn room(&self) -> usize {
        if self.is_suspect() { 0 } else { self.store.len() - self.end }
    }

    pub(super) fn is_suspect(&self) -> bool {
        // Relaxed: only this thread stores it.
        self.is_suspect.load(Ordering::Relaxed)
    }

    /// What the kernel says about its pages is not to be believed again.
    pub(super) fn give_up(&self) {
        // Release: partner is the load in `Segment::wants_home`.
        self.is_suspect.store(true, Ordering::Release);
    }
}

/// A group's layout.
pub(super) struct Plan {
    pub(super) header: GroupHeader,
    pub(super) positions: Vec<RingPosition>,
    pub(super) frames: Vec<FrameHeader>,
}

impl Active {
    /// Appends the group and lets it count; `durable`: waits for the disk. After an error nothing of it counts, and
    /// the segment takes no more.
    pub(super) fn commit(
        &mut self,
        instance: InstanceId,
        group: &Group<'_>,
        plan: &Plan,
        durable: bool,
    ) -> io::Result<()> {
        let group_bytes = plan.header.group_bytes as usize;
        let committed = self.append(instance, group, plan).and_then(|()| {
            crash_point(Point::GroupCopied);
            // Memory has no disk to wait for.
            if durable && !self.is_memory {
                self.sync_appended(group_bytes)
            } else {
                self.store_committed(self.end + group_bytes)
            }
        });
        match committed {
            Ok(()) => {
                self.end += group_bytes;
                self.store.freeze(self.end);
                crash_point(Point::GroupCommitted);
            }
            Err(_) => self.withdraw(),
        }
        committed
    }

    /// Copies the group behind `committed`, where nobody looks.
    pub(super) fn append(
        &mut self,
        instance: InstanceId,
        group: &Group<'_>,
        plan: &Plan,
    ) -> io::Result<()> {
        let address = Address { instance, segment: self.number };
        let header = plan.header.encode(&address, self.end, &plan.positions);
        self.store.write(self.end, &[&header])?;
        let mut at = self.end + header.len();
        for (batch, frame) in group.batches.iter().zip(&plan.frames) {
            let header = frame.encode(&address, at, batch);
            let unpadded_bytes = header.len()
                + FRAME_WORDS_BYTES
                + batch.topic.len()
                + BATCH_HEADER_BYTES
                + batch.body.len();
            let padding_bytes = frame.frame_bytes as usize - unpadded_bytes;
            self.store.write(
                at,
                &[
                    &header,
                    &[0; FRAME_WORDS_BYTES],
                    batch.topic.as_bytes(),
                    batch.header,
                    batch.body,
                    &[0; format::ALIGNMENT][..padding_bytes],
                ],
            )?;
            at += frame.frame_bytes as usize;
        }
        Ok(())
    }

    /// Data first, then `committed`: a power cut in between leaves a whole group above it.
    fn sync_appended(&mut self, group_bytes: usize) -> io::Result<()> {
        let end = self.end + group_bytes;
        self.store.sync(self.synced..end)?;
        self.store_committed(end)?;
        self.store.sync(0..DATA_START)?;
        self.synced = end;
        Ok(())
    }

    /// The group must not be found by recovery, since its records are still in the rings and will be committed
    /// elsewhere. Best effort, on a disk that has just failed: of two groups with the same record numbers recovery
    /// takes one.
    pub(super) fn withdraw(&mut self) {
        let _ = self.store_committed(self.end);
        let _ = self.store.write(self.end, &[&[0; GROUP_HEADER_BYTES]]);
        self.give_up();
    }

    /// Makes durable what was committed since the last time.
    pub(super) fn sync_rest(&mut self) -> io::Result<()> {
        if self.is_memory || self.is_suspect() || self.synced == self.end {
            return Ok(());
        }
        let synced = self.store.sync(self.synced..self.end);
        match synced.and_then(|()| self.store.sync(0..DATA_START)) {
            Ok(()) => {
                self.synced = self.end;
                Ok(())
            }
            Err(error) => {
                self.give_up();
                Err(error)
            }
        }
    }

    pub(super) fn store_committed(&self, end: usize) -> io::Result<()> {
        self.store.store_committed(format::committed_word(end - DATA_START))
    }
}
