//! The segment that groups are appended to: copy, commit, make durable, take back.
//!
//! Invariants: nothing below `committed` is written again; a group counts from the one store that
//! moves `committed`; a segment whose sync failed takes no more groups.

use std::io;
use std::sync::atomic::Ordering;

use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::spool::format;
use crate::spool::format::Address;
use crate::spool::format::COMMITTED;
use crate::spool::format::DATA_START;
use crate::spool::format::FRAME_WORDS_BYTES;
use crate::spool::format::FrameHeader;
use crate::spool::format::GROUP_HEADER_BYTES;
use crate::spool::format::GroupHeader;
use crate::spool::types::BATCH_HEADER_BYTES;
use crate::spool::types::Group;
use crate::sys::append::AppendWriter;

/// The segment that groups are appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) map: AppendWriter,
    pub(super) number: u64,
    /// Position of its first group in the stream of committed bytes.
    pub(super) start: u64,
    /// Offset behind the last committed group.
    pub(super) end: usize,
    /// Offset up to which groups are durable.
    pub(super) synced: usize,
    /// A sync failed: what the kernel says about its pages is not to be believed again.
    pub(super) suspect: bool,
}

impl Active {
    pub(super) fn position(&self) -> u64 {
        self.start + (self.end - DATA_START) as u64
    }

    /// Whether it is time to have the next one ready.
    pub(super) fn is_half_full(&self) -> bool {
        self.room() < self.map.mapping().len() / 2
    }

    pub(super) fn room(&self) -> usize {
        if self.suspect { 0 } else { self.map.mapping().len() - self.end }
    }
}

/// A group's layout.
pub(super) struct Plan {
    pub(super) header: GroupHeader,
    pub(super) positions: Vec<RingPosition>,
    pub(super) frames: Vec<FrameHeader>,
}

impl Active {
    /// Copies the group behind `committed`, where nobody looks.
    pub(super) fn append(&mut self, instance: InstanceId, group: &Group<'_>, plan: &Plan) {
        let address = Address { instance, segment: self.number };
        let header = plan.header.encode(&address, self.end, &plan.positions);
        self.map.write(self.end, &[&header]);
        let mut at = self.end + header.len();
        for (batch, frame) in group.batches.iter().zip(&plan.frames) {
            let header = frame.encode(&address, at, batch);
            let unpadded_bytes = header.len()
                + FRAME_WORDS_BYTES
                + batch.topic.len()
                + BATCH_HEADER_BYTES
                + batch.body.len();
            let padding_bytes = frame.frame_bytes as usize - unpadded_bytes;
            self.map.write(
                at,
                &[
                    &header,
                    &[0; FRAME_WORDS_BYTES],
                    batch.topic.as_bytes(),
                    batch.header,
                    batch.body,
                    &[0; format::ALIGNMENT][..padding_bytes],
                ],
            );
            at += frame.frame_bytes as usize;
        }
    }

    /// The commit: one store.
    pub(super) fn accept(&mut self, group_bytes: usize) {
        self.end += group_bytes;
        self.store_committed(self.end);
        self.map.freeze(self.end);
    }

    /// Data first, then `committed`: a power cut in between leaves a whole group above it.
    pub(super) fn sync_appended(&mut self, group_bytes: usize) -> io::Result<()> {
        let end = self.end + group_bytes;
        self.map.mapping().sync(self.synced..end)?;
        self.store_committed(end);
        self.map.mapping().sync(0..DATA_START)?;
        self.synced = end;
        Ok(())
    }

    /// After a failed sync: the group must not be found by recovery, since its records are still in
    /// the rings and will be committed elsewhere.
    pub(super) fn withdraw(&mut self) {
        self.store_committed(self.end);
        self.map.write(self.end, &[&[0; GROUP_HEADER_BYTES]]);
        self.suspect = true;
    }

    /// Makes durable what was committed since the last time.
    pub(super) fn sync_rest(&mut self) -> io::Result<()> {
        if self.suspect || self.synced == self.end {
            return Ok(());
        }
        let mapping = self.map.mapping();
        let result = mapping.sync(self.synced..self.end).and_then(|()| mapping.sync(0..DATA_START));
        match &result {
            Ok(()) => self.synced = self.end,
            Err(_) => self.suspect = true,
        }
        result
    }

    pub(super) fn store_committed(&self, end: usize) {
        let committed = format::committed_word(end - DATA_START);
        // Release: the group's bytes are in the mapping before; recovery is the partner.
        self.map.mapping().atomic_u64(COMMITTED).store(committed, Ordering::Release);
    }
}
