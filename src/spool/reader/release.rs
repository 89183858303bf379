//! What becomes of segments that have ended, and of those that need another file.
//!
//! Owns the ledger's stores and the files' ends. Invariants: the ledger counts a segment before its file is used again
//! or removed; a segment in memory waits for no disk.

use std::io;
use std::sync::Arc;

use crate::spool::home::move_home;
use crate::spool::ledger::LEDGER_FILE;
use crate::spool::ledger::Ledger;
use crate::spool::ledger::LedgerFile;
use crate::spool::reader::Reader;
use crate::spool::segment::Segment;
use crate::spool::store::StoreKind;
use crate::spool::track::Content;
use crate::spool::track::Tracked;
use crate::spool::types::Damage;
use crate::spool::types::SpoolError;
use crate::sys::faults::Canary;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::faults::is_broken;

impl Reader {
    /// Accounts for all segments as released, for a spool that is drained and will be removed.
    pub(crate) fn release_all(&mut self) -> Result<(), SpoolError> {
        let Some(newest) = self.tracked.back() else { return Ok(()) };
        let mark = self.newest_mark();
        let mut ledger = Ledger {
            released_through: newest.number,
            next_group: mark.group,
            records: mark.record,
            batches: mark.batches,
            account_unknown: false,
            ..self.ledger.clone()
        };
        for tracked in &self.tracked {
            ledger.tally.add(&tracked.tally);
            ledger.lost.extend(&tracked.lost);
        }
        self.store_ledger(&ledger).map_err(SpoolError::io("store the ledger in", &self.dir))?;
        self.ledger = ledger;
        self.tracked.clear();
        self.reading = 0;
        Ok(())
    }

    /// Whether a segment is released once all in it has ended: not where the disk takes no account of those before it.
    /// Memory waits for no disk. Releases what has ended.
    pub fn would_release(&mut self, segment: u64) -> bool {
        self.release();
        let is_memory = self.tracked.iter().any(|tracked| {
            tracked.number == segment && tracked.segment().is_some_and(|s| s.is_memory_alone())
        });
        is_memory || !self.tracked.front().is_some_and(Tracked::is_releasable)
    }

    /// Releases segments, oldest first: the ledger, then the file.
    pub fn release(&mut self) {
        self.end_memory();
        while let Some(oldest) = self.tracked.front()
            && let Some(end) = oldest.end
            && oldest.is_releasable()
        {
            let mut ledger = Ledger {
                released_through: oldest.number,
                next_group: end.group,
                records: end.record,
                batches: end.batches,
                account_unknown: false,
                ..self.ledger.clone()
            };
            if !is_broken(Canary::Counter) {
                ledger.tally.add(&oldest.tally);
            }
            ledger.lost.extend(&oldest.lost);
            if let Err(source) = self.store_ledger(&ledger) {
                self.error = Some(SpoolError::io("store the ledger in", &self.dir)(source));
                return;
            }
            crash_point(Point::LedgerStored);
            self.ledger = ledger;
            self.name_lost();
            self.reading -= 1;
            if let Some(Tracked { content, .. }) = self.tracked.pop_front() {
                self.recycle(content);
            }
        }
    }

    /// What the disk did not give back of released segments is lost.
    fn name_lost(&mut self) {
        while let Some((segment, records)) = self.doubt.next_lost(self.ledger.released_through) {
            self.note_lost(records.start);
            self.report(Damage { segment, bytes: 0..0, records });
        }
    }

    /// Gives the memory of ended segments back, whatever stands before them: a disk that takes no ledger must not
    /// stop what needs no disk. Their accounts wait, neighbours as one, so that they stay few.
    fn end_memory(&mut self) {
        let mut index = 0;
        while index < self.reading {
            let tracked = &mut self.tracked[index];
            if tracked.is_releasable() && tracked.segment().is_some_and(|s| s.is_memory_alone()) {
                let content = std::mem::replace(&mut tracked.content, Content::Gone);
                self.recycle(content);
            }
            let is_gone = |tracked: &Tracked| {
                matches!(tracked.content, Content::Gone) && tracked.is_releasable()
            };
            if index > 0 && is_gone(&self.tracked[index - 1]) && is_gone(&self.tracked[index]) {
                let earlier = self.tracked.remove(index - 1);
                if let Some(earlier) = earlier {
                    let later = &mut self.tracked[index - 1];
                    later.tally.add(&earlier.tally);
                    later.lost.extend(&earlier.lost);
                }
                self.reading -= 1;
            } else {
                index += 1;
            }
        }
    }

    /// Stores the ledger, in a new file where there is none, or none any more. Where the whole directory was moved or
    /// removed, the file that is open goes on, wherever it is: what is delivered must make room, and no heir will look
    /// for either.
    fn store_ledger(&mut self, ledger: &Ledger) -> io::Result<()> {
        let is_there = self.dir.join(LEDGER_FILE).exists();
        let is_homeless = || matches!(self.dir.try_exists(), Ok(false));
        match &mut self.ledger_file {
            Some(file) if is_there || is_homeless() => file.store(ledger),
            Some(_) | None => {
                self.ledger_file = Some(LedgerFile::create(&self.dir, ledger, self.durable)?);
                Ok(())
            }
        }
    }

    /// Offers the file of a released segment to the writer, or removes it.
    fn recycle(&mut self, content: Content) {
        let (Content::Recovered { segment, .. } | Content::Live { segment }) = content else {
            return;
        };
        let was_memory_alone = segment.is_memory_alone();
        let free = Arc::into_inner(segment).and_then(|segment| segment.into_free().ok());
        let mut free = free.expect("a releasable segment has one owner, and no writer");
        let bytes = free.segment_bytes();
        if was_memory_alone {
            self.shared.condition().count_memory_ended(bytes);
        }
        if bytes == self.segment_bytes && free.is_usable() {
            match self.shared.offer_free(free) {
                Ok(()) => return,
                Err(refused) => free = refused,
            }
        }
        match free.remove() {
            Ok(()) => self.shared.count_removed(bytes),
            // It stays counted; its number is released, so recovery will remove it.
            Err(source) => {
                self.error = Some(SpoolError::io("remove a segment in", &self.dir)(source));
            }
        }
    }

    /// Whether new segments are in memory, because the disk refuses them.
    pub fn is_memory_mode(&self) -> bool {
        self.shared.condition().is_memory_mode()
    }

    /// Whether the disk does well and nothing waits for it: otherwise [`Reader::tend`] is to be called from time to
    /// time.
    pub fn is_settled(&self) -> bool {
        let condition = self.shared.condition();
        !condition.is_memory_mode() && condition.memory_entries() == self.troubles_settled
    }

    /// Releases what has ended, and writes to files what is in none, as the disk allows. Blocks on the disk.
    pub fn tend(&mut self) {
        self.receive();
        self.release();
        self.rehome();
    }

    /// Writes a segment that is in memory, or on a disk that failed, to another file, now that the disk takes
    /// files again: one per call, the oldest of which no batch is on its way.
    pub(super) fn rehome(&mut self) {
        let condition = self.shared.condition();
        let troubles = condition.memory_entries();
        if troubles == self.troubles_settled || condition.is_memory_mode() || !self.dir.exists() {
            return;
        }
        let wants_home = |tracked: &Tracked| match &tracked.content {
            Content::Live { segment } => segment.wants_home() && !tracked.is_releasable(),
            Content::Unopened { .. } | Content::Recovered { .. } | Content::Gone => false,
        };
        if !self.tracked.iter().any(wants_home) && condition.memory_bytes() == 0 {
            self.troubles_settled = troubles;
            return;
        }
        // The newest one may still be written to.
        let sealed = self.tracked.len().saturating_sub(1);
        let Some(index) = self.tracked.iter().take(sealed).position(wants_home) else { return };
        if self.tracked[index].segment().is_some_and(|s| Arc::strong_count(s) == 1) {
            self.move_at(index);
        } else {
            self.copy_at(index);
        }
    }

    /// Batches of it are on their way, so it stays where it is; its copy takes part in what happens to them.
    fn copy_at(&mut self, index: usize) {
        let Some(segment) = self.tracked[index].segment().map(Arc::clone) else { return };
        let was_memory = segment.is_memory();
        match move_home(&segment, &self.dir, StoreKind::File, self.durable) {
            Ok(copy) => {
                segment.set_copy(copy);
                self.note_rehomed(was_memory, segment.bytes_len());
            }
            Err(source) => self.note_homeless(source),
        }
    }

    /// Writes everything to files that is not in one, as far as the disk takes it: the last thing before the process
    /// ends. The writer and all frames are gone.
    pub fn take_home(&mut self) {
        self.release();
        for index in 0..self.tracked.len() {
            let tracked = &mut self.tracked[index];
            tracked.loaded = None;
            let Content::Live { segment } = &tracked.content else { continue };
            if segment.wants_home() && Arc::strong_count(segment) == 1 && !tracked.is_releasable() {
                self.move_at(index);
            }
        }
    }

    fn move_at(&mut self, index: usize) {
        let content = std::mem::replace(&mut self.tracked[index].content, Content::Gone);
        let Content::Live { segment } = content else { return };
        let moved = Arc::into_inner(segment).map(|segment| self.move_one(segment));
        let segment = moved.expect("there is one handle, and no writer");
        self.tracked[index].content = Content::Live { segment: Arc::new(segment) };
    }

    fn move_one(&mut self, segment: Segment) -> Segment {
        let was_memory = segment.is_memory();
        match move_home(&segment, &self.dir, self.store, self.durable) {
            Ok(moved) => {
                self.note_rehomed(was_memory, segment.bytes_len());
                moved
            }
            Err(source) => {
                self.note_homeless(source);
                segment
            }
        }
    }

    fn note_rehomed(&self, was_memory: bool, bytes: u64) {
        let condition = self.shared.condition();
        condition.count_rehomed();
        if was_memory {
            condition.count_memory_ended(bytes);
        }
    }

    /// The writer tries the disk from time to time, and says when it is worth another try.
    fn note_homeless(&mut self, source: io::Error) {
        self.shared.condition().set_memory_mode(true);
        self.error = Some(SpoolError::io("copy a segment in", &self.dir)(source));
    }
}
