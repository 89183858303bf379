//! What a dead process left: its spool is opened, and the records still in its rings are sealed into that
//! same spool, under its own instance and numbers.
//!
//! So a crash in the middle of an adoption changes nothing: the groups name the ring positions they consumed, and
//! the next adopter goes on behind them (I3). What cannot be read is kept and named, never deleted.

use std::fs;
use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Calibration;
use crate::clock::Clock;
use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::pipeline::commit::commit;
use crate::pipeline::encode;
use crate::pipeline::encode::Encoder;
use crate::pipeline::encode::SLICE_BYTES_MAX;
use crate::pipeline::encode::Ticket;
use crate::pipeline::handover::Source;
use crate::pipeline::placement::Placement;
use crate::pipeline::slots::Slot;
use crate::pipeline::slots::SlotError;
use crate::ring;
use crate::ring::Arena;
use crate::ring::Consumer;
use crate::ring::Slice;
use crate::ring::consumer::Limits;
use crate::spool;
use crate::spool::SpoolError;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::mapping::Mapping;

use thiserror::Error;

/// Numbers beyond this are not believed, whatever an arena says.
const COUNT_MAX: u64 = 1 << 62;

/// Why a slot was not adopted; it stays as it is.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// The spool could not be opened.
    #[error("the spool cannot be recovered: {0}")]
    Spool(#[from] SpoolError),
    /// What was left in the rings could not be committed.
    #[error("the rings' leftovers cannot be stored: {0}")]
    Commit(#[from] spool::CommitError),
    /// What was left in the rings could not be encoded.
    #[error("the rings' leftovers cannot be encoded: {0}")]
    Encode(#[from] encode::EncodeError),
    /// The codec's level is out of its range.
    #[error(transparent)]
    Level(#[from] crate::batch::LevelError),
    /// No slot could be made for leftovers that need one.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A file of the slot.
    #[error("a file of the slot: {0}")]
    Io(#[from] io::Error),
}

/// Options that adoption takes from the adopter.
#[derive(Clone, Debug)]
pub struct Options {
    /// Codec and batch sizes for the leftovers.
    pub encode: encode::Options,
    /// Layout of the spool; its quota does not hold for what the rings left, which must go somewhere.
    pub spool: spool::Options,
    /// Bounds for reading the arena.
    pub ring: ring::Options,
}

impl Options {
    /// From what the adopter itself uses.
    pub fn new(encode: encode::Options, spool: spool::Options, ring: ring::Options) -> Self {
        // The streams of a dead process are numbered in its own way.
        let placement = Arc::new(Placement::new(encode.placement.places_keys()));
        Self { encode: encode::Options { placement, ..encode }, spool, ring }
    }

    fn encoder(&self, instance: InstanceId) -> Result<Encoder, AdoptError> {
        Ok(Encoder::new(encode::Options { instance, ..self.encode.clone() })?)
    }
}

/// Opens the slot of a dead process; what its rings hold is then committed slice by slice.
///
/// Where damage hides which record numbers were used, the spool is gone, or all of it is a copy, the leftovers of the
/// rings are sealed under a fresh instance, in a slot of its own.
pub struct Adopting {
    dead: Slot,
    /// None where there is none: its owner died while it made it, or somebody removed the files.
    spool: Option<(spool::Writer, spool::Reader)>,
    /// None where there is no arena.
    leftovers: Option<Leftovers>,
    /// Where the leftovers go, if not into the dead process's own spool.
    fresh: Option<Source>,
}

impl Adopting {
    /// Opens `dead`; `fresh` makes a slot for leftovers that need one.
    pub fn begin(
        dead: Slot,
        options: &Options,
        clock: &Clock,
        fresh: impl FnOnce() -> Result<Slot, SlotError>,
    ) -> Result<Self, AdoptError> {
        let spool_options = adopting(&options.spool);
        let (mut spool, positions, start) = match spool::recover(dead.spool_dir(), &spool_options) {
            Ok(spool::Recovered {
                writer,
                reader,
                positions,
                next_group,
                next_record,
                report,
                ..
            }) => {
                let start = (!report.tail_unknown).then_some((next_group, next_record));
                (Some((writer, reader)), positions, start)
            }
            Err(SpoolError::NotASpool { .. }) => (None, Vec::new(), None),
            Err(error) => return Err(error.into()),
        };
        crash_point(Point::SlotAdopted);
        let Some(mut leftovers) = Leftovers::open(&dead, &positions, options, clock)? else {
            return Ok(Self { dead, spool, leftovers: None, fresh: None });
        };
        let is_copy = leftovers.consumer.arena().is_copy();
        // What was in memory alone died with its process, and so did the numbers that it used; what had ended by then
        // is no loss. Of a copy nobody knows what the original did not lose.
        if let Some((_, reader)) = &mut spool {
            reader.expect_ended(leftovers.ended.clone());
            if !is_copy {
                reader.expect_records_through(leftovers.numbered.min(COUNT_MAX));
            }
        }
        // The owner of an original may have gone on, and given the numbers behind its copy to other records.
        let start = start.filter(|(_, next_record)| *next_record >= leftovers.numbered && !is_copy);
        let fresh = match start {
            Some((number, first_record)) => {
                (leftovers.number, leftovers.first_record) = (number, first_record);
                None
            }
            // Nothing to number anew: no slot for it.
            None if leftovers.consumer.is_drained() => None,
            None => {
                let slot = fresh()?;
                leftovers.encoder = options.encoder(slot.instance())?;
                let (writer, reader) =
                    spool::create(slot.spool_dir(), slot.instance(), &spool_options)?;
                Some(Source { reader, writer: Some(writer), slot })
            }
        };
        Ok(Self { dead, spool, leftovers: Some(leftovers), fresh })
    }

    /// Whose slot it is.
    pub fn instance(&self) -> InstanceId {
        self.dead.instance()
    }

    /// Seals and commits the next slice of what the rings hold; false where they are empty.
    pub fn commit_next(&mut self) -> Result<bool, AdoptError> {
        let Some(leftovers) = &mut self.leftovers else { return Ok(false) };
        let fresh = self.fresh.as_mut().and_then(|fresh| fresh.writer.as_mut());
        match fresh.or(self.spool.as_mut().map(|(writer, _)| writer)) {
            Some(writer) => leftovers.commit_next(writer),
            None => Ok(false),
        }
    }

    /// Removes the arena, whose records are all committed; what there is to send.
    pub fn finish(self) -> Result<Vec<Source>, AdoptError> {
        let Self { dead, spool, leftovers, fresh } = self;
        if leftovers.is_some_and(|leftovers| leftovers.damaged_bytes > 0) {
            dead.set_arena_aside()?;
        }
        let mut sources = Vec::from_iter(fresh);
        for writer in sources.iter_mut().filter_map(|source| source.writer.as_mut()) {
            writer.sync_rest()?;
            writer.publish();
        }
        match spool {
            Some((mut writer, reader)) => {
                writer.sync_rest()?;
                writer.publish();
                crash_point(Point::LeftoversCommitted);
                dead.remove_arena()?;
                crash_point(Point::ArenaRemoved);
                sources.push(Source { reader, writer: Some(writer), slot: dead });
            }
            None => dead.remove()?,
        }
        Ok(sources)
    }
}

/// No quota for what must go somewhere; and never memory, since the rings it comes from are removed.
fn adopting(options: &spool::Options) -> spool::Options {
    spool::Options { bytes_max: u64::MAX, memory_bytes_max: 0, ..options.clone() }
}

/// The arena of a slot; one that is no arena is set aside.
fn open_arena(slot: &Slot, options: &ring::Options) -> Result<Option<Arc<Arena>>, AdoptError> {
    let path = slot.arena_path();
    if !path.exists() {
        return Ok(None);
    }
    if is_blank(&path)? {
        // Its owner died while it made it: no thread ever had a ring.
        slot.remove_arena()?;
        return Ok(None);
    }
    // A shortage of memory or descriptors passes: then the slot is adopted another time.
    match Arena::open(Mapping::open(&path)?, options) {
        Ok(arena) => Ok(Some(Arc::new(arena))),
        Err(_unreadable) => {
            slot.set_arena_aside()?;
            Ok(None)
        }
    }
}

/// Whether a file has nothing but zeros, or nothing at all.
fn is_blank(path: &Path) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(true),
            count if piece[..count].iter().any(|byte| *byte != 0) => return Ok(false),
            _zeros => {}
        }
    }
}

/// The dead process's own time anchor; now, where it died before it stored one.
fn calibration(arena: &Arena, clock: &Clock) -> Calibration {
    match arena.time_anchor() {
        [_, 0, _] => clock.calibrate(),
        [ticks, wall_nanos, nanos_per_tick] => Calibration { ticks, wall_nanos, nanos_per_tick },
    }
}

struct Leftovers {
    consumer: Consumer,
    encoder: Encoder,
    calibration: Calibration,
    topics: Vec<String>,
    number: u64,
    first_record: u64,
    /// Bytes of the rings that were no records.
    damaged_bytes: u64,
    /// Records below this had their numbers, by the arena.
    numbered: u64,
    /// What had ended, by the arena.
    ended: spool::Ended,
}

impl Leftovers {
    /// What the rings of a slot hold behind the positions that were committed; none where there is no arena.
    fn open(
        slot: &Slot,
        positions: &[RingPosition],
        options: &Options,
        clock: &Clock,
    ) -> Result<Option<Self>, AdoptError> {
        let Some(arena) = open_arena(slot, &options.ring)? else { return Ok(None) };
        let (before, doubtful) = arena.ended();
        Ok(Some(Self {
            calibration: calibration(&arena, clock),
            topics: arena.streams(),
            numbered: arena.numbered(),
            ended: spool::Ended { before, doubtful },
            encoder: options.encoder(slot.instance())?,
            consumer: Consumer::adopt(arena, positions),
            number: 0,
            first_record: 0,
            damaged_bytes: 0,
        }))
    }

    /// Seals and commits the next slice; false where the rings are empty.
    fn commit_next(&mut self, writer: &mut spool::Writer) -> Result<bool, AdoptError> {
        let mut slice = Slice::default();
        let limits = Limits { bytes: SLICE_BYTES_MAX / 2, records: u32::MAX };
        self.consumer.drain(&mut slice, limits);
        self.consumer.seal(&mut slice);
        self.damaged_bytes += slice.damaged_bytes();
        if slice.records() == 0 {
            return Ok(false);
        }
        let ticket = Ticket {
            number: self.number,
            first_record: self.first_record,
            calibration: self.calibration,
        };
        let group = self.encoder.encode(&slice, ticket)?;
        commit(writer, &group, &self.topics)?;
        // Also where the spool is another instance's, whose positions nobody will look for in this arena.
        self.consumer.release(group.positions());
        self.number += 1;
        self.first_record += group.records;
        self.encoder.recycle(group);
        Ok(true)
    }
}
