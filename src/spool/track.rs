//! What the reader knows about one segment, from its arrival to its release.
//!
//! Knows nothing of the other segments; the reader keeps them in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::spool::format::DATA_START;
use crate::spool::ledger::Tally;
use crate::spool::lost::LostRanges;
use crate::spool::segment::Segment;
use crate::spool::segment::SegmentBytes;

/// A segment that is not released yet.
#[derive(Debug)]
pub struct Tracked {
    /// Its number.
    pub number: u64,
    /// Its content, as far as it is known.
    pub content: Content,
    /// Offset up to which it was read.
    pub cursor: usize,
    /// Frames handed out, or to be handed out again, and not resolved.
    pub unresolved: Amount,
    /// How its records ended.
    pub tally: Tally,
    /// Which of them were lost.
    pub lost: LostRanges,
    /// What was read of it ahead of the cursor, in the order of offsets.
    pub ahead: VecDeque<Piece>,
    /// Where the instance stood behind its last frame, once all of it was read.
    pub end: Option<Mark>,
    /// The part that is looked at now, where it is not mapped.
    pub loaded: Option<SegmentBytes>,
}

/// Where the bytes of a segment are.
#[derive(Debug)]
pub enum Content {
    /// A dead process left it and it was not opened yet: start-up does not wait for a backlog.
    Unopened {
        /// The file.
        path: PathBuf,
        /// Length of the file.
        file_bytes: u64,
        /// What it says it holds, in bytes.
        committed_bytes: u64,
    },
    /// A dead process left it: these parts count, and every checksum is compared.
    Recovered {
        /// The segment.
        segment: Arc<Segment>,
        /// What is left to read.
        sections: VecDeque<Range<usize>>,
    },
    /// This process wrote it.
    Live {
        /// The segment.
        segment: Arc<Segment>,
    },
    /// The file is gone, or cannot be opened: its records show as a gap. Or all of it was in memory, and has ended.
    Gone,
}

/// A number of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Batches, which is frames.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes in the spool.
    pub bytes: u64,
}

impl Amount {
    /// Adds another one.
    pub fn add(&mut self, other: &Amount) {
        self.batches += other.batches;
        self.records += other.records;
        self.bytes += other.bytes;
    }

    /// Takes one away that was added before.
    pub fn subtract(&mut self, other: &Amount) {
        self.batches -= other.batches;
        self.records -= other.records;
        self.bytes -= other.bytes;
    }
}

/// Numbers of what comes next in the stream of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The next group.
    pub group: u64,
    /// The next record.
    pub record: u64,
    /// Batches before.
    pub batches: u64,
}

/// A part of a segment that was read ahead of what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset of the group that it begins with.
    pub start: usize,
    /// Offset up to which it was read.
    pub end: usize,
    /// Where the instance stood at its start.
    pub first: Mark,
    /// Where it stood behind what was read.
    pub mark: Mark,
}

impl Piece {
    /// Nothing of it was read yet.
    pub fn new(start: usize, first: Mark) -> Self {
        Self { start, end: start, first, mark: first }
    }
}

impl Tracked {
    /// Nothing of it was read yet.
    pub fn new(number: u64, content: Content) -> Self {
        Self {
            number,
            content,
            cursor: DATA_START,
            unresolved: Amount::default(),
            tally: Tally::default(),
            lost: LostRanges::default(),
            ahead: VecDeque::new(),
            end: None,
            loaded: None,
        }
    }

    /// The mapped segment, if it is.
    pub fn segment(&self) -> Option<&Arc<Segment>> {
        match &self.content {
            Content::Recovered { segment, .. } | Content::Live { segment } => Some(segment),
            Content::Unopened { .. } | Content::Gone => None,
        }
    }

    /// Whether nothing of it is needed any more: all was read and resolved, and no handle is left.
    pub fn is_releasable(&self) -> bool {
        self.end.is_some()
            && self.unresolved.batches == 0
            && self.segment().is_none_or(|segment| Arc::strong_count(segment) == 1)
    }

    /// Bytes not read yet of what a dead process left.
    pub fn unread_bytes(&self) -> u64 {
        match &self.content {
            Content::Unopened { committed_bytes, .. } => *committed_bytes,
            Content::Recovered { sections, .. } => sections
                .iter()
                .map(|section| section.end.saturating_sub(section.start.max(self.cursor)) as u64)
                .sum(),
            Content::Live { .. } | Content::Gone => 0,
        }
    }
}
