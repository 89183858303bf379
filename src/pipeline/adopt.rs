//! What a dead process left: its spool is opened, and the records still in its rings are sealed into that
//! same spool, under its own instance and numbers.
//!
//! So a crash in the middle of an adoption changes nothing: the groups name the ring positions they consumed, and
//! the next adopter goes on behind them (I3). What cannot be read is kept and named, never deleted.

use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
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
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::placement::Placement;
use crate::pipeline::slots::Roots;
use crate::pipeline::slots::Slot;
use crate::pipeline::slots::SlotError;
use crate::ring;
use crate::ring::Arena;
use crate::ring::Consumer;
use crate::ring::Slice;
use crate::ring::consumer::Limits;
use crate::spool;
use crate::spool::SpoolError;
use crate::stats::Counters;
use crate::sys::mapping::Mapping;
use crate::transport::Waker;

use thiserror::Error;

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
}

/// Adopts all slots of dead processes, once.
pub struct Adoption {
    /// Where the slots are.
    pub roots: Roots,
    /// How they are adopted.
    pub options: Options,
    /// The clock.
    pub clock: Clock,
    /// Takes the spools.
    pub handover: Arc<Handover>,
    /// Statistics.
    pub counters: Arc<Counters>,
    /// Wakes the sender.
    pub sender: Waker,
}

impl Adoption {
    /// Does it; blocks on the disk.
    pub fn run(&self) {
        for slot in self.roots.adopt_dead() {
            // Unwind safety: the slot and all that was made of it are dropped with the panic.
            let adopted = catch_unwind(AssertUnwindSafe(|| {
                adopt(slot, &self.options, &self.clock, || self.roots.create())
            }));
            match adopted {
                Ok(Ok(sources)) => {
                    sources.into_iter().for_each(|source| self.handover.give(source))
                }
                // The slot stays as it is, for the next try or for somebody's eyes; the others go on.
                Ok(Err(_kept)) => self.counters.batch.spool_errors.add(1),
                Err(_panic) => self.counters.batch.panics.add(1),
            }
            self.sender.wake();
        }
        self.handover.finish_adoption();
        self.sender.wake();
    }
}

/// Opens the slot of a dead process; no source where there was nothing in it, and it is gone.
///
/// Where damage hides which record numbers were used, the leftovers of the rings are sealed under a fresh
/// instance, in a slot that `fresh` makes: a second source.
pub fn adopt(
    slot: Slot,
    options: &Options,
    clock: &Clock,
    fresh: impl FnOnce() -> Result<Slot, SlotError>,
) -> Result<Vec<Source>, AdoptError> {
    let spool_options = spool::Options { bytes_max: u64::MAX, ..options.spool.clone() };
    let recovered = match spool::recover(slot.spool_dir(), &spool_options) {
        Ok(recovered) => recovered,
        Err(SpoolError::NotASpool { .. }) => return adopt_rings(slot, options, clock, fresh),
        Err(error) => return Err(error.into()),
    };
    let spool::Recovered { mut writer, reader, positions, next_group, next_record, report, .. } =
        recovered;
    let mut sources = Vec::new();
    if let Some(leftovers) = Leftovers::open(&slot, &positions, &options.ring, clock)? {
        let damaged_bytes = if report.tail_unknown {
            let (source, damaged_bytes) = leftovers.move_to(fresh()?, options)?;
            sources.push(source);
            damaged_bytes
        } else {
            let leftovers =
                Leftovers { number: next_group, first_record: next_record, ..leftovers };
            leftovers.commit_all(slot.instance(), options, &mut writer)?
        };
        if damaged_bytes > 0 {
            slot.set_arena_aside()?;
        }
    }
    writer.publish();
    slot.remove_arena()?;
    sources.push(Source { reader, writer: Some(writer), slot });
    Ok(sources)
}

/// A slot without a spool: its owner died while it made it, or somebody removed the files. What the rings
/// have not released moves to a fresh slot; then this one is removed.
fn adopt_rings(
    slot: Slot,
    options: &Options,
    clock: &Clock,
    fresh: impl FnOnce() -> Result<Slot, SlotError>,
) -> Result<Vec<Source>, AdoptError> {
    let mut sources = Vec::new();
    if let Some(leftovers) = Leftovers::open(&slot, &[], &options.ring, clock)? {
        let (source, damaged_bytes) = leftovers.move_to(fresh()?, options)?;
        sources.push(source);
        if damaged_bytes > 0 {
            slot.set_arena_aside()?;
        }
    }
    slot.remove()?;
    Ok(sources)
}

/// The arena of a slot; one that is no arena is set aside.
fn open_arena(slot: &Slot, options: &ring::Options) -> Result<Option<Arc<Arena>>, AdoptError> {
    let path = slot.arena_path();
    if !path.exists() {
        return Ok(None);
    }
    let is_empty = fs::metadata(&path)?.len() == 0;
    // A shortage of memory or descriptors passes: then the slot is adopted another time.
    let opened = if is_empty { None } else { Arena::open(Mapping::open(&path)?, options).ok() };
    match opened {
        Some(arena) => Ok(Some(Arc::new(arena))),
        None => {
            slot.set_arena_aside()?;
            Ok(None)
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
    calibration: Calibration,
    topics: Vec<String>,
    number: u64,
    first_record: u64,
    /// Bytes of the rings that were no records.
    damaged_bytes: u64,
}

impl Leftovers {
    /// What the rings of a slot hold behind the positions that were committed; none where there is no arena.
    fn open(
        slot: &Slot,
        positions: &[RingPosition],
        options: &ring::Options,
        clock: &Clock,
    ) -> Result<Option<Self>, AdoptError> {
        let Some(arena) = open_arena(slot, options)? else { return Ok(None) };
        Ok(Some(Self {
            calibration: calibration(&arena, clock),
            topics: arena.streams(),
            consumer: Consumer::adopt(arena, positions),
            number: 0,
            first_record: 0,
            damaged_bytes: 0,
        }))
    }

    /// Seals everything under a fresh instance, in its slot.
    fn move_to(self, slot: Slot, options: &Options) -> Result<(Source, u64), AdoptError> {
        let spool_options = spool::Options { bytes_max: u64::MAX, ..options.spool.clone() };
        let (mut writer, reader) =
            spool::create(slot.spool_dir(), slot.instance(), &spool_options)?;
        let damaged_bytes = self.commit_all(slot.instance(), options, &mut writer)?;
        Ok((Source { reader, writer: Some(writer), slot }, damaged_bytes))
    }

    /// Seals everything that is left in the rings and publishes it; says how many bytes were no records.
    fn commit_all(
        mut self,
        instance: InstanceId,
        options: &Options,
        writer: &mut spool::Writer,
    ) -> Result<u64, AdoptError> {
        let mut encoder = Encoder::new(encode::Options { instance, ..options.encode.clone() })?;
        while self.commit_next(&mut encoder, writer)? {}
        writer.publish();
        Ok(self.damaged_bytes)
    }

    /// Seals and commits the next slice; false where the rings are empty.
    fn commit_next(
        &mut self,
        encoder: &mut Encoder,
        writer: &mut spool::Writer,
    ) -> Result<bool, AdoptError> {
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
        let group = encoder.encode(&slice, ticket)?;
        commit(writer, &group, &self.topics)?;
        // Also where the spool is another instance's, whose positions nobody will look for in this arena.
        self.consumer.release(group.positions());
        self.number += 1;
        self.first_record += group.records;
        encoder.recycle(group);
        Ok(true)
    }
}
