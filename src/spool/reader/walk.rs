//! How the reader goes through a segment: frame by frame, over what is damaged, to its end.
//!
//! Owns the cursor and the account of gaps. Invariant: the mark only rises, and every record number
//! it passes is in a frame handed out, in a tally, or counted damaged.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::spool::format::Address;
use crate::spool::format::DATA_START;
use crate::spool::format::FrameHeader;
use crate::spool::format::GroupHeader;
use crate::spool::format::STATE_STORED;
use crate::spool::frame::Frame;
use crate::spool::lost::Lost;
use crate::spool::reader::Reader;
use crate::spool::reader::amount;
use crate::spool::reader::count;
use crate::spool::reader::lost;
use crate::spool::recovery::is_shortage;
use crate::spool::scan::Item;
use crate::spool::scan::Sections;
use crate::spool::scan::Source;
use crate::spool::scan::Trust;
use crate::spool::scan::next_item;
use crate::spool::segment::Segment;
use crate::spool::segment::SegmentBytes;
use crate::spool::track::Content;
use crate::spool::track::Tracked;
use crate::spool::types::Damage;
use crate::spool::types::SpoolError;

/// The most damage reports that wait to be taken; what is beyond is only counted.
const DAMAGES_MAX: usize = 1024;

/// What one look at the segment being read gave.
pub(super) enum Step {
    Frame(Frame),
    Waiting,
    Finished,
}

impl Reader {
    /// Reads on in the current segment.
    pub(super) fn step(&mut self) -> Step {
        if !self.open_current() {
            return Step::Waiting;
        }
        while let Some((segment, range, trust)) = self.readable() {
            let bytes = match self.load(&segment, &range) {
                Ok(bytes) => bytes,
                Err(source) => {
                    let again = is_shortage(&source);
                    self.error = Some(SpoolError::io("read a segment in", &self.dir)(source));
                    if again {
                        return Step::Waiting;
                    }
                    self.tracked[self.reading].cursor = range.end;
                    if matches!(self.tracked[self.reading].content, Content::Live { .. }) {
                        self.doubt.note_unread(segment.address.segment);
                    }
                    self.note_unreadable(&segment, range);
                    continue;
                }
            };
            let found = next_item(&bytes, &segment.address, range.clone(), trust);
            let good_from = found.map_or(range.end, |found| found.offset);
            self.tracked[self.reading].cursor = found.map_or(range.end, |found| found.end());
            if good_from > range.start {
                self.note_bad(&bytes, range.start..good_from);
            }
            match found.map(|found| found.item) {
                Some(Item::Group(header)) => self.note_group(&header),
                Some(Item::Frame(header)) => {
                    if let Some(frame) = self.note_frame(bytes, good_from, header) {
                        return Step::Frame(frame);
                    }
                }
                None => {}
            }
        }
        if self.is_finished() { Step::Finished } else { Step::Waiting }
    }

    /// The bytes of `range` at least: what was loaded before, as long as it lasts.
    fn load(&mut self, segment: &Arc<Segment>, range: &Range<usize>) -> io::Result<SegmentBytes> {
        let loaded = &mut self.tracked[self.reading].loaded;
        if let Some(bytes) = loaded
            && bytes.shows(range)
        {
            return Ok(bytes.clone());
        }
        let bytes = segment.load(range.clone())?;
        *loaded = bytes.is_copy().then(|| bytes.clone());
        Ok(bytes)
    }

    /// The bytes to look at next in the current segment, and whether to believe them.
    fn readable(&mut self) -> Option<(Arc<Segment>, Range<usize>, Trust)> {
        self.pass_piece();
        let live_end = self.live_end(self.reading);
        let tracked = &mut self.tracked[self.reading];
        let live_end = tracked.ahead.front().map_or(live_end, |piece| live_end.min(piece.start));
        match &mut tracked.content {
            Content::Live { segment } => (tracked.cursor < live_end).then(|| {
                let trust = if segment.is_dead() { Trust::Nothing } else { Trust::Own };
                (Arc::clone(segment), tracked.cursor..live_end, trust)
            }),
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

    /// Offset up to which a segment is published, if this process wrote it.
    pub(super) fn live_end(&self, index: usize) -> usize {
        let Content::Live { segment } = &self.tracked[index].content else { return 0 };
        let next_start = match self.tracked.get(index + 1).map(|next| &next.content) {
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
    pub(super) fn finish_segment(&mut self) {
        let is_last_recovered = !matches!(
            self.tracked.get(self.reading + 1).map(|next| &next.content),
            Some(Content::Unopened { .. } | Content::Recovered { .. } | Content::Gone)
        );
        if is_last_recovered && let Some(end) = self.recovered_end.take() {
            self.note_gap(end.record);
            self.mark.group = self.mark.group.max(end.group);
            self.mark.batches = self.mark.batches.max(end.batches);
        }
        let finished = &mut self.tracked[self.reading];
        finished.end = Some(self.mark);
        finished.loaded = None;
        if let Content::Recovered { segment, .. } = &finished.content {
            // A backlog is read once: what is still on its way is read again by the page.
            segment.forget_pages();
        }
        self.reading += 1;
    }

    /// Maps the current segment if a dead process left it; `false` when that must be tried again.
    fn open_current(&mut self) -> bool {
        let tracked = &mut self.tracked[self.reading];
        let Content::Unopened { path, file_bytes, .. } = &tracked.content else { return true };
        let (path, file_bytes) = (path.clone(), *file_bytes);
        let address = Address { instance: self.ledger.instance, segment: tracked.number };
        let opened = Segment::open(path.clone(), address, self.store).and_then(|segment| {
            let segment = Arc::new(segment);
            let bytes = segment.load(0..segment.view.len())?;
            let sections = Sections::of(&bytes, &address, segment.committed()).ranges;
            Ok((segment, sections, bytes))
        });
        match opened {
            Ok((segment, sections, bytes)) => {
                tracked.content = Content::Recovered { segment, sections };
                tracked.loaded = bytes.is_copy().then_some(bytes);
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
        bytes: SegmentBytes,
        offset: usize,
        header: FrameHeader,
    ) -> Option<Frame> {
        self.note_gap(header.first_record);
        if header.first_record < self.mark.record {
            self.note_bad(&bytes, offset..offset + header.frame_bytes as usize);
            return None;
        }
        self.mark.record = header.first_record + u64::from(header.record_count);
        self.mark.batches += 1;
        let state = bytes.segment.state(offset);
        let frame = Frame::new(bytes, offset, header);
        let tracked = &mut self.tracked[self.reading];
        if state == STATE_STORED {
            tracked.unresolved.add(&amount(&frame));
            self.unresolved.insert(frame.first_record());
            return Some(frame);
        }
        count(&mut tracked.tally, state, &frame);
        if let Some(lost) = lost(state, &frame) {
            tracked.lost.add(lost.clone());
            self.inherited.add(lost);
        }
        None
    }

    /// Records up to `next_record` are missing, if the cursor is not there yet.
    pub(super) fn note_gap(&mut self, next_record: u64) {
        let tracked = &mut self.tracked[self.reading];
        let records = self.mark.record..next_record;
        let unknown = std::mem::take(&mut self.account_unknown);
        if records.is_empty() {
            return;
        }
        self.mark.record = next_record;
        // What was released had ended, too; how is what the ledger would have told.
        if unknown {
            tracked.tally.unconfirmed += records.end - records.start;
            return;
        }
        let segment = tracked.number;
        let (ended, lost) = self.ended_before.split(records.clone());
        tracked.tally.unconfirmed += ended;
        tracked.tally.damaged += records.end - records.start - ended;
        for records in lost.iter().cloned() {
            tracked.lost.add(Lost { records, reason: None });
        }
        if self.doubt.take(&records) {
            return;
        }
        for records in lost {
            self.note_lost(records.start);
            self.report(Damage { segment, bytes: 0..0, records });
        }
    }

    /// Bytes that are nothing good: kept in the quarantine before the segment is used again.
    fn note_bad(&mut self, bytes: &SegmentBytes, range: Range<usize>) {
        let number = bytes.segment.address.segment;
        if let Err(source) = self.quarantine.keep(number, range.start, bytes.bytes(range.clone())) {
            self.error = Some(SpoolError::io("keep damaged bytes of", &self.dir)(source));
        }
        self.note_unreadable(&bytes.segment, range);
    }

    /// Bytes that the disk does not give back.
    fn note_unreadable(&mut self, segment: &Segment, range: Range<usize>) {
        let bytes = range.start as u64..range.end as u64;
        self.report(Damage { segment: segment.address.segment, bytes, records: 0..0 });
    }

    pub(super) fn report(&mut self, damage: Damage) {
        if self.damages.len() < DAMAGES_MAX {
            self.damages.push_back(damage);
        }
    }
}
