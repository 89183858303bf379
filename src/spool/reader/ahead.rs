//! Reading ahead: what was committed lately goes first, what stands before it is read beside it.
//!
//! ```text
//!  segment:  [======|......|====|........|=======>
//!  cursor ----------^ next()      skip_to ^      ^---- next_ahead()
//!                   '......' skipped, the backlog; '====' pieces, read ahead
//! ```
//!
//! Owns the pieces. Invariants: a piece begins at a group whose header was good, so the numbers of the instance there
//! are known; the cursor alone ends segments, so they are released in order; it passes over a piece in one step and
//! counts what is missing before it. Only segments that this process wrote are read ahead.

use crate::spool::format::DATA_START;
use crate::spool::frame::Frame;
use crate::spool::reader::Reader;
use crate::spool::reader::walk::Step;
use crate::spool::scan::Item;
use crate::spool::scan::Trust;
use crate::spool::scan::next_item;
use crate::spool::track::Content;
use crate::spool::track::Mark;
use crate::spool::track::Piece;

impl Reader {
    /// Whether something was skipped that [`Reader::next`] has not come past yet.
    pub fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// How much of the stream of committed bytes is published: a place for [`Reader::skip_to`].
    pub fn published_position(&self) -> u64 {
        self.shared.published()
    }

    /// How far [`Reader::next_ahead`] has read in that stream.
    pub fn ahead_position(&self) -> u64 {
        let index = self.ahead_index().unwrap_or(self.reading);
        let Some(tracked) = self.tracked.get(index) else { return 0 };
        let Content::Live { segment } = &tracked.content else { return 0 };
        let offset =
            if self.is_ahead() { tracked.ahead.back().map(|piece| piece.end) } else { None };
        segment.start + (offset.unwrap_or(tracked.cursor) - DATA_START) as u64
    }

    /// Lets [`Reader::next_ahead`] go on at `position`, once [`Reader::published_position`]; what stands before
    /// it is left to [`Reader::next`]. False, and nothing is skipped, where nothing is there to be read yet or it
    /// is no place ahead.
    pub fn skip_to(&mut self, position: u64) -> bool {
        self.receive();
        if position >= self.published || position <= self.ahead_position() {
            return false;
        }
        let holds = |content: &Content| match content {
            Content::Live { segment } => segment.start <= position,
            Content::Unopened { .. } | Content::Recovered { .. } | Content::Gone => false,
        };
        let Some(index) = self.tracked.iter().rposition(|tracked| holds(&tracked.content)) else {
            return false;
        };
        let Some((start, first)) = self.group_at(index, position) else { return false };
        if let Some(last) = self.ahead_index() {
            // Nothing was read of it: it would only be in the cursor's way.
            self.tracked[last].ahead.pop_back_if(|piece| piece.start == piece.end);
        }
        self.tracked[index].ahead.push_back(Piece::new(start, first));
        self.ahead = Some(self.tracked[index].number);
        true
    }

    /// The next published frame behind what was skipped, as [`Reader::next`] hands it out; the very same where
    /// nothing is skipped.
    pub fn next_ahead(&mut self) -> Option<Frame> {
        self.release();
        self.receive();
        while let Some(index) = self.ahead_index() {
            match self.step_ahead(index)? {
                Step::Frame(frame) => return Some(frame),
                Step::Waiting => return None,
                Step::Finished => {
                    let mark = self.tracked[index].ahead.back()?.mark;
                    self.tracked[index].loaded = None;
                    let following = &mut self.tracked[index + 1];
                    following.ahead.push_back(Piece::new(DATA_START, mark));
                    self.ahead = Some(following.number);
                }
            }
        }
        self.next()
    }

    /// Takes the cursor over the piece that it has reached.
    pub(super) fn pass_piece(&mut self) {
        let tracked = &mut self.tracked[self.reading];
        let cursor = tracked.cursor;
        let Some(piece) = tracked.ahead.pop_front_if(|piece| piece.start == cursor) else { return };
        tracked.cursor = piece.end;
        if tracked.ahead.is_empty() && self.ahead == Some(tracked.number) {
            self.ahead = None;
        }
        self.note_gap(piece.first.record);
        self.mark = piece.mark;
    }

    /// Where the instance stands behind everything that was read.
    pub(super) fn newest_mark(&self) -> Mark {
        let piece = self.ahead_index().and_then(|index| self.tracked[index].ahead.back());
        piece.map_or(self.mark, |piece| piece.mark)
    }

    /// Records, batches and bytes of the stream that were read ahead of the cursor.
    pub(super) fn read_ahead(&self) -> (u64, u64, u64) {
        let pieces = self.tracked.iter().flat_map(|tracked| &tracked.ahead);
        pieces.fold((0, 0, 0), |(records, batches, bytes), piece| {
            (
                records + piece.mark.record - piece.first.record,
                batches + piece.mark.batches - piece.first.batches,
                bytes + (piece.end - piece.start) as u64,
            )
        })
    }

    fn ahead_index(&self) -> Option<usize> {
        let number = self.ahead?;
        self.tracked.binary_search_by_key(&number, |tracked| tracked.number).ok()
    }

    /// The offset of `position` in a segment and the numbers of the group there, if its header is good.
    fn group_at(&mut self, index: usize, position: u64) -> Option<(usize, Mark)> {
        let Content::Live { segment } = &self.tracked[index].content else { return None };
        let start = DATA_START + usize::try_from(position - segment.start).ok()?;
        let end = self.live_end(index);
        if start >= end {
            return None;
        }
        let bytes = segment.load(start..end).ok()?;
        let found = next_item(&bytes, &segment.address, start..end, Trust::Own)?;
        match found.item {
            Item::Group(header) if found.offset == start => Some((
                start,
                Mark {
                    group: header.number,
                    record: header.first_record,
                    batches: header.batches_before,
                },
            )),
            Item::Group(_) | Item::Frame(_) => None,
        }
    }

    /// Reads on in the newest piece: the cursor is there for the time of one step.
    fn step_ahead(&mut self, index: usize) -> Option<Step> {
        let mut pieces = std::mem::take(&mut self.tracked[index].ahead);
        let piece = pieces.back_mut()?;
        let reading = std::mem::replace(&mut self.reading, index);
        let mark = std::mem::replace(&mut self.mark, piece.mark);
        let cursor = std::mem::replace(&mut self.tracked[index].cursor, piece.end);
        let step = self.step();
        piece.end = std::mem::replace(&mut self.tracked[index].cursor, cursor);
        piece.mark = std::mem::replace(&mut self.mark, mark);
        self.reading = reading;
        self.tracked[index].ahead = pieces;
        Some(step)
    }
}
