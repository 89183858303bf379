//! The sender's half: hands frames out in order, records how they ended, releases segments.
//!
//! Owns the ledger and the frames' words that change. Invariants: segments are released in the order
//! of their numbers, the ledger before the file; every record number below the cursor is either in a
//! frame or counted damaged, so the account adds up by construction (I2).

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::format::Address;
use crate::spool::format::DATA_START;
use crate::spool::format::FrameHeader;
use crate::spool::format::GroupHeader;
use crate::spool::format::STATE_DELIVERED;
use crate::spool::format::STATE_DROPPED;
use crate::spool::format::STATE_STORED;
use crate::spool::format::STATE_UNCONFIRMED;
use crate::spool::frame::Frame;
use crate::spool::ledger::Ledger;
use crate::spool::ledger::LedgerFile;
use crate::spool::ledger::Tally;
use crate::spool::quarantine::Quarantine;
use crate::spool::recovery::is_shortage;
use crate::spool::scan::Item;
use crate::spool::scan::Sections;
use crate::spool::scan::Trust;
use crate::spool::scan::next_item;
use crate::spool::segment::Segment;
use crate::spool::shared::Shared;
use crate::spool::track::Amount;
use crate::spool::track::Content;
use crate::spool::track::Mark;
use crate::spool::track::Tracked;
use crate::spool::types::Binding;
use crate::spool::types::Damage;
use crate::spool::types::Resolution;
use crate::spool::types::SpoolError;
use crate::spool::types::Totals;

/// The most damage reports that wait to be taken; what is beyond is only counted.
const DAMAGES_MAX: usize = 1024;

/// The reading half of a spool. `Send`, used by one thread at a time.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    segment_bytes: u64,
    shared: Arc<Shared>,
    ledger_file: LedgerFile,
    ledger: Ledger,
    quarantine: Quarantine,
    /// Segments not released, in the order of their numbers.
    tracked: VecDeque<Tracked>,
    /// Index in `tracked` of the segment being read.
    reading: usize,
    /// Where the cursor stands in the numbers of the instance.
    mark: Mark,
    /// What was released is unknown: the first good item says where the account starts.
    account_unknown: bool,
    /// What the dead process had numbered, until the last segment it left was read.
    recovered_end: Option<Mark>,
    /// How far the writer had published when it was last asked.
    published: u64,
    damages: VecDeque<Damage>,
    error: Option<SpoolError>,
}

/// What one look at the segment being read gave.
enum Step {
    Frame(Frame),
    Waiting,
    Finished,
}

/// What a dead process left, for a reader to start with.
#[derive(Debug)]
pub struct Backlog {
    /// Its segments.
    pub tracked: VecDeque<Tracked>,
    /// What it had numbered.
    pub end: Mark,
}

impl Reader {
    pub(super) fn new(
        dir: PathBuf,
        segment_bytes: u64,
        shared: Arc<Shared>,
        (ledger_file, ledger): (LedgerFile, Ledger),
        quarantine: Quarantine,
        backlog: Backlog,
    ) -> Self {
        let mark =
            Mark { group: ledger.next_group, record: ledger.records, batches: ledger.batches };
        Self {
            dir,
            segment_bytes,
            shared,
            ledger_file,
            ledger,
            quarantine,
            recovered_end: (!backlog.tracked.is_empty()).then_some(backlog.end),
            tracked: backlog.tracked,
            reading: 0,
            mark,
            account_unknown: ledger.account_unknown,
            published: 0,
            damages: VecDeque::new(),
            error: None,
        }
    }

    /// The next published frame that is not resolved, in the order of commit; each is handed out
    /// once. Also releases what can be released.
    ///
    /// A segment of a dead process is opened when it is reached, which blocks on the disk; what is
    /// unreadable in it is skipped, counted, and reported by [`Reader::take_damage`]. Where the
    /// system refuses to open it for want of memory or descriptors, this returns `None`, keeps the
    /// error for [`Reader::take_error`] and tries again at the next call.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Frame> {
        self.release();
        self.receive();
        while self.reading < self.tracked.len() {
            match self.step() {
                Step::Frame(frame) => return Some(frame),
                Step::Waiting => return None,
                Step::Finished => {
                    self.finish_segment();
                    self.release();
                }
            }
        }
        None
    }

    /// Stores what the frame is about to be sent as; survives a crash of the process when this
    /// returns (I4). A frame can be bound again; the newest binding holds.
    ///
    /// # Errors
    ///
    /// `Resolved` when the frame was resolved: it must not be sent.
    pub fn bind(&mut self, frame: &Frame, binding: &Binding) -> Result<(), SpoolError> {
        if frame.segment().state(frame.offset()) != STATE_STORED {
            return Err(SpoolError::Resolved { position: frame.position() });
        }
        frame.segment().set_binding(frame.offset(), binding);
        Ok(())
    }

    /// Stores how the frame ended; a second resolution of the same frame changes nothing.
    ///
    /// Its segment is released by a later call, once all its frames are resolved, all their handles
    /// are dropped, and all segments before it are released.
    pub fn resolve(&mut self, frame: &Frame, resolution: Resolution) {
        self.release();
        let number = frame.position().segment;
        let Ok(index) = self.tracked.binary_search_by_key(&number, |tracked| tracked.number) else {
            return;
        };
        if frame.segment().state(frame.offset()) != STATE_STORED {
            return;
        }
        let state = match resolution {
            Resolution::Delivered => STATE_DELIVERED,
            Resolution::Unconfirmed => STATE_UNCONFIRMED,
            Resolution::Dropped(reason) => STATE_DROPPED + reason as u8,
        };
        frame.segment().set_state(frame.offset(), state);
        let tracked = &mut self.tracked[index];
        tracked.unresolved.subtract(&amount(frame));
        count(&mut tracked.tally, state, u64::from(frame.record_count()));
    }

    /// The account at this moment.
    pub fn totals(&self) -> Totals {
        let mut tally = self.ledger.tally;
        let mut unresolved = Amount::default();
        for tracked in &self.tracked {
            tally.add(&tracked.tally);
            unresolved.add(&tracked.unresolved);
        }
        // First: it makes the counts at least as new.
        let unread_bytes = self.unread_bytes();
        let (records, batches) = self.shared.counts();
        Totals {
            records,
            batches,
            delivered: tally.delivered,
            unconfirmed: tally.unconfirmed,
            dropped: tally.dropped,
            damaged: tally.damaged,
            stored_records: unresolved.records + records.saturating_sub(self.mark.record),
            stored_batches: unresolved.batches + batches.saturating_sub(self.mark.batches),
            stored_bytes: unresolved.bytes + unread_bytes,
        }
    }

    /// Whether everything published was read and resolved. A writer may publish more.
    pub fn is_drained(&self) -> bool {
        self.tracked.iter().all(|tracked| {
            tracked.unresolved.batches == 0 && !matches!(tracked.content, Content::Unopened { .. })
        }) && self.unread_bytes() == 0
    }

    /// The next report of something unreadable; everything reported is in [`Totals::damaged`].
    pub fn take_damage(&mut self) -> Option<Damage> {
        self.damages.pop_front()
    }

    /// The latest failure of the system, if there was one since the last call: of opening or
    /// releasing a segment, which is tried again, or of keeping damaged bytes, which is not.
    pub fn take_error(&mut self) -> Option<SpoolError> {
        self.error.take()
    }

    /// Accounts for all segments as released, for a spool that is drained and will be removed.
    pub(super) fn release_all(&mut self) -> Result<(), SpoolError> {
        let Some(newest) = self.tracked.back() else { return Ok(()) };
        let mut ledger = Ledger {
            released_through: newest.number,
            next_group: self.mark.group,
            records: self.mark.record,
            batches: self.mark.batches,
            account_unknown: false,
            ..self.ledger
        };
        for tracked in &self.tracked {
            ledger.tally.add(&tracked.tally);
        }
        self.ledger_file
            .store(&ledger)
            .map_err(SpoolError::io("store the ledger in", &self.dir))?;
        self.ledger = ledger;
        self.tracked.clear();
        self.reading = 0;
        Ok(())
    }

    /// Releases segments, oldest first: the ledger, then the file.
    fn release(&mut self) {
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
                ..self.ledger
            };
            ledger.tally.add(&oldest.tally);
            if let Err(source) = self.ledger_file.store(&ledger) {
                self.error = Some(SpoolError::io("store the ledger in", &self.dir)(source));
                return;
            }
            self.ledger = ledger;
            self.reading -= 1;
            if let Some(Tracked { content, .. }) = self.tracked.pop_front() {
                self.recycle(content);
            }
        }
    }

    /// Offers the file of a released segment to the writer, or removes it.
    fn recycle(&mut self, content: Content) {
        let (Content::Recovered { segment, .. } | Content::Live { segment }) = content else {
            return;
        };
        let free = Arc::into_inner(segment).and_then(|segment| segment.into_free().ok());
        let mut free = free.expect("a releasable segment has one owner, and no writer");
        let bytes = free.segment_bytes();
        if bytes == self.segment_bytes {
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

    /// Takes over what the writer published meanwhile.
    fn receive(&mut self) {
        // Before the arrivals: every segment up to this position has arrived.
        self.published = self.shared.published();
        while let Some(segment) = self.shared.next_arrival() {
            let number = segment.address.segment;
            self.tracked.push_back(Tracked::new(number, Content::Live { segment }));
        }
    }

    /// Reads on in the current segment.
    fn step(&mut self) -> Step {
        if !self.open_current() {
            return Step::Waiting;
        }
        while let Some((segment, range, trust)) = self.readable() {
            let found = next_item(&*segment, &segment.address, range.clone(), trust);
            let good_from = found.map_or(range.end, |found| found.offset);
            self.tracked[self.reading].cursor = found.map_or(range.end, |found| found.end());
            if good_from > range.start {
                self.note_bad(&segment, range.start..good_from);
            }
            match found.map(|found| found.item) {
                Some(Item::Group(header)) => self.note_group(&header),
                Some(Item::Frame(header)) => {
                    if let Some(frame) = self.note_frame(segment, good_from, header) {
                        return Step::Frame(frame);
                    }
                }
                None => {}
            }
        }
        if self.is_finished() { Step::Finished } else { Step::Waiting }
    }

    /// The bytes to look at next in the current segment, and whether to believe them.
    fn readable(&mut self) -> Option<(Arc<Segment>, Range<usize>, Trust)> {
        let live_end = self.live_end();
        let tracked = &mut self.tracked[self.reading];
        match &mut tracked.content {
            Content::Live { segment } => (tracked.cursor < live_end)
                .then(|| (Arc::clone(segment), tracked.cursor..live_end, Trust::Own)),
            Content::Recovered { segment, sections } => {
                while let Some(section) = sections.front() {
                    let range = section.start.max(tracked.cursor)..section.end;
                    if range.start < range.end {
                        return Some((Arc::clone(segment), range, Trust::Nothing));
                    }
                    sections.pop_front();
                }
                None
            }
            Content::Unopened { .. } | Content::Gone => None,
        }
    }

    /// Offset up to which the current segment is published, if this process wrote it.
    fn live_end(&self) -> usize {
        let Content::Live { segment } = &self.tracked[self.reading].content else { return 0 };
        let next_start = match self.tracked.get(self.reading + 1).map(|next| &next.content) {
            Some(Content::Live { segment }) => segment.start,
            _ => u64::MAX,
        };
        let readable = self.published.min(next_start).saturating_sub(segment.start);
        DATA_START + usize::try_from(readable).expect("a segment is smaller than the memory")
    }

    /// Whether no more will come in the current segment.
    fn is_finished(&self) -> bool {
        match &self.tracked[self.reading].content {
            Content::Unopened { .. } => false,
            Content::Recovered { .. } | Content::Gone => true,
            // Another one follows, and all of this one is published.
            Content::Live { .. } => match self.tracked.get(self.reading + 1) {
                Some(Tracked { content: Content::Live { segment }, .. }) => {
                    self.live_read() == segment.start
                }
                _ => false,
            },
        }
    }

    /// Closes the account of the current segment and goes on to the next one.
    fn finish_segment(&mut self) {
        let is_last_recovered = !matches!(
            self.tracked.get(self.reading + 1).map(|next| &next.content),
            Some(Content::Unopened { .. } | Content::Recovered { .. } | Content::Gone)
        );
        if is_last_recovered && let Some(end) = self.recovered_end.take() {
            self.note_gap(end.record);
            self.mark.group = self.mark.group.max(end.group);
            self.mark.batches = self.mark.batches.max(end.batches);
        }
        self.tracked[self.reading].end = Some(self.mark);
        self.reading += 1;
    }

    /// Maps the current segment if a dead process left it; `false` when that must be tried again.
    fn open_current(&mut self) -> bool {
        let tracked = &mut self.tracked[self.reading];
        let Content::Unopened { path, file_bytes, .. } = &tracked.content else { return true };
        let (path, file_bytes) = (path.clone(), *file_bytes);
        let address = Address { instance: self.ledger.instance, segment: tracked.number };
        match Segment::open(path.clone(), address) {
            Ok(segment) => {
                let sections = Sections::of(&segment, &address, segment.committed()).ranges;
                tracked.content = Content::Recovered { segment: Arc::new(segment), sections };
                true
            }
            Err(source) => {
                let again = is_shortage(&source);
                if !again {
                    tracked.content = Content::Gone;
                    self.shared.count_removed(file_bytes);
                    // Best effort: it may be gone altogether.
                    let _ = self.quarantine.take(&path);
                }
                self.error = Some(SpoolError::io("open", path)(source));
                !again
            }
        }
    }

    fn note_group(&mut self, header: &GroupHeader) {
        self.note_gap(header.first_record);
        self.mark.group = header.number + 1;
        self.mark.batches = header.batches_before;
    }

    /// The frame, unless it is resolved already or repeats records.
    fn note_frame(
        &mut self,
        segment: Arc<Segment>,
        offset: usize,
        header: FrameHeader,
    ) -> Option<Frame> {
        self.note_gap(header.first_record);
        if header.first_record < self.mark.record {
            self.note_bad(&segment, offset..offset + header.frame_bytes as usize);
            return None;
        }
        self.mark.record = header.first_record + u64::from(header.record_count);
        self.mark.batches += 1;
        let state = segment.state(offset);
        let frame = Frame::new(segment, offset, header);
        let tracked = &mut self.tracked[self.reading];
        if state == STATE_STORED {
            tracked.unresolved.add(&amount(&frame));
            return Some(frame);
        }
        count(&mut tracked.tally, state, u64::from(header.record_count));
        None
    }

    /// Records up to `next_record` are missing, if the cursor is not there yet.
    fn note_gap(&mut self, next_record: u64) {
        let tracked = &mut self.tracked[self.reading];
        let records = self.mark.record..next_record;
        let unknown = std::mem::take(&mut self.account_unknown);
        if records.is_empty() {
            return;
        }
        self.mark.record = next_record;
        if unknown {
            // They were released, so they had ended; how is what the ledger would have told.
            tracked.tally.unconfirmed += records.end - records.start;
            return;
        }
        tracked.tally.damaged += records.end - records.start;
        let segment = tracked.number;
        self.report(Damage { segment, bytes: 0..0, records });
    }

    /// Bytes that are nothing good: kept in the quarantine before the segment is used again.
    fn note_bad(&mut self, segment: &Segment, range: Range<usize>) {
        let number = segment.address.segment;
        let bytes = self.tracked[self.reading].bytes(range.clone());
        if let Err(source) = self.quarantine.keep(number, range.start, bytes) {
            self.error = Some(SpoolError::io("keep damaged bytes of", &self.dir)(source));
        }
        let bytes = range.start as u64..range.end as u64;
        self.report(Damage { segment: number, bytes, records: 0..0 });
    }

    fn report(&mut self, damage: Damage) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push_back(damage);
        }
    }

    /// How far the cursor is in the stream of bytes that this process committed. The last segment
    /// of this process is never finished, so once it is reached there is always a current one.
    fn live_read(&self) -> u64 {
        match self.tracked.get(self.reading) {
            Some(Tracked { content: Content::Live { segment }, cursor, .. }) => {
                segment.start + (cursor - DATA_START) as u64
            }
            _ => 0,
        }
    }

    fn unread_bytes(&self) -> u64 {
        let left: u64 = self.tracked.iter().map(Tracked::unread_bytes).sum();
        left + self.shared.published().saturating_sub(self.live_read())
    }
}

fn amount(frame: &Frame) -> Amount {
    Amount { batches: 1, records: u64::from(frame.record_count()), bytes: frame.bytes() }
}

/// Counts records whose frame ended in `state`.
fn count(tally: &mut Tally, state: u8, records: u64) {
    match state {
        STATE_DELIVERED => tally.delivered += records,
        STATE_UNCONFIRMED => tally.unconfirmed += records,
        dropped => tally.dropped[usize::from(dropped - STATE_DROPPED)] += records,
    }
}
