//! Finds the good groups and frames among the bytes of a segment, whatever happened to the rest.
//!
//! Pure: bytes in, positions out; so it is fuzzed and tested without files. `committed` is a hint and
//! the checksums are the truth, in both directions: below it every good frame counts, even in a
//! damaged group; above it only whole groups do, because the records of half a group are still in
//! the rings.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ops::Range;

use crate::ids::RingId;
use crate::ids::RingPosition;
use crate::spool::format;
use crate::spool::format::ALIGNMENT;
use crate::spool::format::Address;
use crate::spool::format::BINDING_WORDS;
use crate::spool::format::DATA_START;
use crate::spool::format::FRAME_HEADER_BYTES;
use crate::spool::format::FRAME_TOPIC;
use crate::spool::format::FrameHeader;
use crate::spool::format::GROUP_HEADER_BYTES;
use crate::spool::format::GroupHeader;
use crate::spool::format::array_at;
use crate::spool::types::Binding;
use crate::sys::faults::Canary;
use crate::sys::faults::is_broken;

/// The bytes of a segment file. The words of a frame that change are never asked for, as long as
/// the frame is good.
pub trait Source {
    /// Length of the file.
    fn bytes_len(&self) -> usize;

    /// The bytes of `range`, which lies inside.
    fn bytes(&self, range: Range<usize>) -> &[u8];
}

impl Source for [u8] {
    fn bytes_len(&self) -> usize {
        self.len()
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self[range]
    }
}

/// How far to trust the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// This process wrote them: lengths are checked, contents are not read.
    Own,
    /// A crash, a disk or a stranger may have touched them: checksums are compared.
    Nothing,
}

/// One good thing in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it starts.
    pub offset: usize,
    /// What it is.
    pub item: Item,
}

/// What a segment consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// The header and ring positions of a group.
    Group(GroupHeader),
    /// A frame.
    Frame(FrameHeader),
}

impl Found {
    /// Where the next one starts.
    pub fn end(&self) -> usize {
        match self.item {
            Item::Group(header) => self.offset + header.header_bytes(),
            Item::Frame(header) => self.offset + header.frame_bytes as usize,
        }
    }
}

/// The first good group header or frame in `range`; what lies before it is damaged.
pub fn next_item<S: Source + ?Sized>(
    source: &S,
    address: &Address,
    range: Range<usize>,
    trust: Trust,
) -> Option<Found> {
    let mut offset = range.start.next_multiple_of(ALIGNMENT);
    while offset + FRAME_HEADER_BYTES <= range.end {
        let item = group_at(source, address, offset, range.end, trust)
            .map(Item::Group)
            .or_else(|| frame_at(source, address, offset, range.end, trust).map(Item::Frame));
        if let Some(item) = item {
            return Some(Found { offset, item });
        }
        offset += ALIGNMENT;
    }
    None
}

/// The parts of a segment that count as committed: everything below the word `committed`, where that
/// can be true, then every whole group above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sections {
    /// The parts, in order.
    pub ranges: VecDeque<Range<usize>>,
    /// Whether `committed` fits the file. Where it does not, the whole file is one section.
    pub committed_fits: bool,
}

impl Sections {
    /// Reads what is above `committed` (a multiple of [`ALIGNMENT`], as
    /// [`committed_bytes`](crate::spool::format::committed_bytes) gives it), which is little: at most
    /// one group, or old bytes.
    pub fn of<S: Source + ?Sized>(
        source: &S,
        address: &Address,
        committed: Option<usize>,
    ) -> Sections {
        let end = source.bytes_len() - source.bytes_len() % ALIGNMENT;
        let mut ranges = VecDeque::new();
        let room = end.saturating_sub(DATA_START);
        let Some(committed) = committed.filter(|committed| *committed <= room) else {
            ranges.push_back(DATA_START..end.max(DATA_START));
            return Sections { ranges, committed_fits: false };
        };
        let stored_end = DATA_START + committed;
        let committed_end = cut_group_end(source, address, stored_end, end).unwrap_or(stored_end);
        if committed > 0 {
            ranges.push_back(DATA_START..committed_end);
        }
        let mut offset = committed_end;
        while offset < end {
            match whole_group_at(source, address, offset, end) {
                Some(group_end) => {
                    ranges.push_back(offset..group_end);
                    offset = group_end;
                }
                None => offset += ALIGNMENT,
            }
        }
        Sections { ranges, committed_fits: true }
    }
}

/// What the newest segment tells about where its instance stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Good groups and frames.
    pub items: usize,
    /// The highest position per ring.
    pub positions: Vec<RingPosition>,
    /// Number of the group that comes next.
    pub next_group: u64,
    /// Number of the record that comes next.
    pub next_record: u64,
    /// Batches of the instance so far.
    pub batches: u64,
    /// Something unreadable lies behind the last good item: more may have been numbered.
    pub tail_unknown: bool,
}

impl Survey {
    /// Reads the whole segment.
    pub fn of<S: Source + ?Sized>(source: &S, address: &Address, sections: &Sections) -> Survey {
        let mut survey = Survey { tail_unknown: !sections.committed_fits, ..Survey::default() };
        let mut positions = BTreeMap::<RingId, u64>::new();
        for section in &sections.ranges {
            let mut offset = section.start;
            while let Some(found) = next_item(source, address, offset..section.end, Trust::Nothing)
            {
                offset = found.end().min(section.end);
                survey.items += 1;
                match found.item {
                    Item::Group(header) => {
                        survey.note_group(&header);
                        let bytes = source.bytes(found.offset..found.end());
                        for RingPosition { ring, position } in header.positions(bytes) {
                            let highest = positions.entry(ring).or_default();
                            *highest = position.max(*highest);
                        }
                    }
                    Item::Frame(header) => survey.note_frame(&header),
                }
            }
            survey.tail_unknown |= offset < section.end;
        }
        survey.positions =
            positions.into_iter().map(|(ring, position)| RingPosition { ring, position }).collect();
        survey
    }

    fn note_group(&mut self, header: &GroupHeader) {
        self.next_group = self.next_group.max(header.number + 1);
        self.next_record = self.next_record.max(header.first_record + header.record_count);
        let batches = header.batches_before + u64::from(header.batch_count);
        self.batches = self.batches.max(batches);
    }

    fn note_frame(&mut self, header: &FrameHeader) {
        let next_record = header.first_record + u64::from(header.record_count);
        if next_record > self.next_record {
            // Its group's header is unreadable.
            self.next_record = next_record;
            self.next_group += 1;
            self.batches += 1;
        }
    }
}

/// Slot, generation and binding of the newest whole slot of the frame at `offset`.
pub fn newest_binding(
    address: &Address,
    offset: usize,
    words: &[[u64; BINDING_WORDS]; 2],
) -> Option<(usize, u32, Binding)> {
    let slots = [0, 1].map(|slot| {
        let decoded = format::decode_binding(address, offset, &words[slot]);
        decoded.map(|(generation, binding)| (slot, generation, binding))
    });
    match slots {
        // Serial-number comparison: the generation may wrap.
        [Some(first), Some(second)] => {
            let second_is_newer = second.1.wrapping_sub(first.1).cast_signed() > 0;
            Some(if second_is_newer { second } else { first })
        }
        [first, second] => first.or(second),
    }
}

/// Whether no checksum is compared.
fn is_believed(trust: Trust) -> bool {
    trust == Trust::Own || is_broken(Canary::Checksum)
}

fn group_at<S: Source + ?Sized>(
    source: &S,
    address: &Address,
    offset: usize,
    end: usize,
    trust: Trust,
) -> Option<GroupHeader> {
    let start =
        array_at::<GROUP_HEADER_BYTES>(source.bytes(offset..offset + GROUP_HEADER_BYTES), 0);
    let header = GroupHeader::decode(&start, end - offset)?;
    let bytes = source.bytes(offset..offset + header.header_bytes());
    let good = is_believed(trust) || GroupHeader::is_intact(address, offset, bytes);
    good.then_some(header)
}

fn frame_at<S: Source + ?Sized>(
    source: &S,
    address: &Address,
    offset: usize,
    end: usize,
    trust: Trust,
) -> Option<FrameHeader> {
    let start =
        array_at::<FRAME_HEADER_BYTES>(source.bytes(offset..offset + FRAME_HEADER_BYTES), 0);
    let header = FrameHeader::decode(&start, end - offset)?;
    let rest = source.bytes(offset + FRAME_TOPIC..offset + header.body_end());
    let topic = &rest[..usize::from(header.topic_bytes)];
    let good = is_believed(trust) || FrameHeader::is_intact(address, offset, &start, rest);
    (good && std::str::from_utf8(topic).is_ok()).then_some(header)
}

/// Where the whole group ends that `committed_end` lies within: then that is another segment's length.
fn cut_group_end<S: Source + ?Sized>(
    source: &S,
    address: &Address,
    committed_end: usize,
    end: usize,
) -> Option<usize> {
    let mut offset = DATA_START;
    while offset < committed_end {
        let group = group_at(source, address, offset, end, Trust::Nothing);
        let next = offset + group.map_or(ALIGNMENT, |header| header.group_bytes as usize);
        if next > committed_end {
            return whole_group_at(source, address, offset, end);
        }
        offset = next.max(offset + ALIGNMENT);
    }
    None
}

/// Where the group at `offset` ends, if it and all its frames are good.
fn whole_group_at<S: Source + ?Sized>(
    source: &S,
    address: &Address,
    offset: usize,
    end: usize,
) -> Option<usize> {
    let header = group_at(source, address, offset, end, Trust::Nothing)?;
    let group_end = offset + header.group_bytes as usize;
    if group_end > end {
        return None;
    }
    let mut at = offset + header.header_bytes();
    for _ in 0..header.batch_count {
        if at + FRAME_HEADER_BYTES > group_end {
            return None;
        }
        at += frame_at(source, address, at, group_end, Trust::Nothing)?.frame_bytes as usize;
    }
    (at == group_end).then_some(group_end)
}
