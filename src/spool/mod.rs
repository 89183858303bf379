//! The spool: sealed batches in order of commit, in mmapped segment files, until they are resolved.
//!
//! ```text
//!  batcher                                                    sender
//!  Writer::commit -> group copied behind `committed`
//!                    `committed` raised: survives kill -9
//!  (rings store their positions)
//!  Writer::publish ------------------------------------------> Reader::next -> Frame
//!                                                              Reader::bind     before the first byte
//!                                                              Reader::resolve  acknowledged, dropped
//!  Writer::prepare <-- free segments <-- ledger <-- released --'
//! ```
//!
//! It is the only retransmission buffer: while receivers keep up, the same few segments go round and
//! stay in the cache; when they do not, the same code runs with a longer tail, up to its quota.
//!
//! # A crash at each step
//!
//! | killed | what recovery finds |
//! |---|---|
//! | while a group is copied | no whole group above `committed`: the records are still in the rings |
//! | after the copy, before `committed` | a whole group: committed, with its ring positions |
//! | before the rings store their positions | the group's positions: nothing is sealed twice |
//! | between two bindings | the newest whole binding: one slot is always good |
//! | after a resolution | the frame's state word: it is not handed out again |
//! | after the ledger, before recycling | segments up to `released_through`: removed |
//! | while a segment is recycled | a released name or header, or an empty file: removed |
//! | while a new one is allocated | `next.new`, which never held anything: removed |
//! | in recovery | the same again: it removes what is released, moves what is not understood |
//!
//! After a power cut or damage, checksums decide what is good; see `recovery` and `scan`.
//!
//! # Assumptions
//!
//! The directory belongs to us alone (0700) and its slot's lock is held. Files are mapped only where allocated blocks
//! stay allocated, and written by `pwrite` elsewhere (`store`). Who truncates a mapped file makes damage, which is
//! counted (`sys::guard`). A disk that refuses files makes the spool go on in memory (`writer`, `home`).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::ids::InstanceId;
use crate::ids::RingPosition;
use crate::spool::format::DATA_START;
use crate::spool::ledger::Ledger;
use crate::spool::ledger::LedgerFile;
use crate::spool::ledger::Tally;
use crate::spool::lost::LostRanges;
use crate::spool::quarantine::Quarantine;
use crate::spool::reader::Backlog;
use crate::spool::recovery::Unrecovered;
use crate::spool::shared::Shared;
use crate::spool::track::Mark;
use crate::spool::writer::Next;
use crate::sys::file;

mod active;
mod condition;
pub mod format;
mod frame;
mod home;
mod ledger;
mod lost;
mod quarantine;
mod reader;
mod recovery;
pub mod scan;
mod segment;
mod shared;
mod store;
mod track;
mod types;
mod writer;

pub use crate::spool::condition::Condition;
pub use crate::spool::frame::Frame;
pub use crate::spool::lost::Lost;
pub use crate::spool::quarantine::QUARANTINE_DIR;
pub use crate::spool::reader::Ended;
pub use crate::spool::reader::Reader;
pub use crate::spool::recovery::SEGMENT_BYTES_MAX;
pub use crate::spool::recovery::is_own_file;
pub use crate::spool::segment::SEGMENT_EXTENSION;
pub use crate::spool::segment::occupied_bytes;
pub use crate::spool::store::StoreKind;
pub use crate::spool::types::*;
pub use crate::spool::writer::Writer;

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 4 << 20,
            bytes_max: 64 << 20,
            sync: Sync::None,
            store: None,
            memory_bytes_max: 16 << 20,
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), SpoolError> {
        let refuse = |name, value, allowed| Err(SpoolError::Options { name, value, allowed });
        let segment_bytes = self.segment_bytes;
        if !(64 << 10..=SEGMENT_BYTES_MAX).contains(&segment_bytes)
            || !segment_bytes.is_multiple_of(DATA_START as u64)
        {
            let allowed = "a multiple of 4096 from 65536 to 1073741824";
            return refuse("segment_bytes", segment_bytes, allowed);
        }
        // One is written while the one before is read.
        if self.bytes_max / segment_bytes < 2 {
            return refuse("bytes_max", self.bytes_max, "at least two segments");
        }
        Ok(())
    }
}

/// What [`recover`] gives: a spool that goes on, and what the dead process had reached.
#[derive(Debug)]
pub struct Recovered {
    /// Commits more under the same instance; see [`Report::tail_unknown`].
    pub writer: Writer,
    /// Hands out what is unresolved, oldest first.
    pub reader: Reader,
    /// Whose spool it is.
    pub instance: InstanceId,
    /// How far each ring is consumed, from the newest segment. Every ring position that was not
    /// stored in its ring before the crash is among them. To be stored there before the reader is
    /// used: releasing the segment loses them.
    pub positions: Vec<RingPosition>,
    /// Number of the next group.
    pub next_group: u64,
    /// Number of the next record.
    pub next_record: u64,
    /// What was met.
    pub report: Report,
}

/// Starts an empty spool for a new instance in `dir`, a private directory that the caller has made.
///
/// The caller holds the slot's lock. Blocks on the disk. Segments are allocated later, by
/// [`Writer::prepare`] or the first commit. Where the directory cannot be written, or the caller could not even make
/// it, the spool starts in memory and finds the disk later.
///
/// # Errors
///
/// `Options` when one is out of range; `Io` when the directory cannot be used and `memory_bytes_max` is 0.
pub fn create(
    dir: &Path,
    instance: InstanceId,
    options: &Options,
) -> Result<(Writer, Reader), SpoolError> {
    options.check()?;
    let ledger = empty_ledger(instance, false);
    let ledger_file = match create_files(dir, &ledger, options.sync != Sync::None) {
        Ok(file) => Some(file),
        Err(_) if options.memory_bytes_max > 0 => None,
        Err(error) => return Err(error),
    };
    let backlog = Backlog { tracked: VecDeque::new(), end: Mark::default() };
    let quarantine = Quarantine::of(dir, options.bytes_max);
    let next = Next { segment: 1, group: 0, record: 0, batches: 0 };
    let shared = Shared::new(0, 0, 0);
    shared.condition().set_memory_mode(ledger_file.is_none());
    Ok(start(dir, options, shared, next, (ledger_file, ledger), quarantine, backlog))
}

fn create_files(dir: &Path, ledger: &Ledger, durable: bool) -> Result<LedgerFile, SpoolError> {
    file::check_private_directory(dir).map_err(SpoolError::io("use the directory", dir))?;
    let ledger_file = LedgerFile::create(dir, ledger, durable)
        .map_err(SpoolError::io("create the ledger in", dir))?;
    if durable {
        file::sync_directory(dir).map_err(SpoolError::io("sync", dir))?;
    }
    Ok(ledger_file)
}

/// Takes over the spool of a dead process, whose slot's lock the caller holds.
///
/// Reads headers and the newest segment, whatever the backlog. Blocks on the disk. The segments found
/// may be of another size than `options` say, and more than `bytes_max`: then commits find it full
/// until enough are released.
///
/// # Errors
///
/// `NotASpool` when nothing tells whose it is, `Options`, or `Io`. Never because of what the files
/// hold: what is not understood is set aside and reported.
pub fn recover(dir: &Path, options: &Options) -> Result<Recovered, SpoolError> {
    options.check()?;
    file::create_private_directory(dir).map_err(SpoolError::io("use the directory", dir))?;
    let durable = options.sync != Sync::None;
    let mut quarantine = Quarantine::of(dir, options.bytes_max);
    let unrecovered =
        Unrecovered::read(dir, options.store.unwrap_or_else(|| StoreKind::suited_to(dir)))?;
    let found =
        LedgerFile::open(dir, durable).map_err(SpoolError::io("open the ledger in", dir))?;
    let ledger = found.as_ref().map(|(_, ledger)| ledger);
    let instance = ledger
        .map(|ledger| ledger.instance)
        .or_else(|| unrecovered.instance())
        .ok_or_else(|| SpoolError::NotASpool { path: dir.to_owned() })?;
    let mut ordered = unrecovered.finish(instance, ledger, &mut quarantine)?;
    let (ledger_file, ledger) = match found {
        Some(found) => found,
        None => replace_ledger(dir, instance, durable, &mut quarantine, &mut ordered.report)?,
    };
    let end = Mark {
        group: ordered.survey.next_group.max(ledger.next_group),
        record: ordered.survey.next_record.max(ledger.records),
        batches: ordered.survey.batches.max(ledger.batches),
    };
    ordered.report.tail_unknown =
        ordered.survey.tail_unknown || ledger.account_unknown && ordered.survey.items == 0;
    let next = Next {
        segment: ordered.next_segment,
        group: end.group,
        record: end.record,
        batches: end.batches,
    };
    let shared = Shared::new(end.record, end.batches, ordered.segment_bytes);
    let backlog = Backlog { tracked: ordered.tracked, end };
    let (writer, reader) =
        start(dir, options, shared, next, (Some(ledger_file), ledger), quarantine, backlog);
    Ok(Recovered {
        writer,
        reader,
        instance,
        positions: ordered.survey.positions,
        next_group: end.group,
        next_record: end.record,
        report: ordered.report,
    })
}

/// Removes the files of a spool whose records have all ended; `false` when some have not.
///
/// The quarantine, the lock and the directory stay: they are their owner's to judge. A crash in
/// between leaves a spool that recovers as drained.
///
/// # Errors
///
/// `Io` when a file cannot be removed or the ledger not stored.
pub fn remove_drained(mut writer: Writer, mut reader: Reader) -> Result<bool, SpoolError> {
    if !writer.is_published() || reader.next().is_some() || !reader.is_drained() {
        // What cannot be synced is written to another file below.
        let _ = writer.sync_rest();
        drop(writer);
        reader.take_home();
        return Ok(false);
    }
    if !writer.dir().exists() {
        // The disk never took it, or somebody removed it.
        return Ok(true);
    }
    reader.release_all()?;
    recovery::remove_files(writer.dir())?;
    Ok(true)
}

fn start(
    dir: &Path,
    options: &Options,
    shared: Shared,
    next: Next,
    ledger: (Option<LedgerFile>, Ledger),
    quarantine: Quarantine,
    backlog: Backlog,
) -> (Writer, Reader) {
    let shared = Arc::new(shared);
    let instance = ledger.1.instance;
    let writer = Writer::new(dir.to_owned(), instance, options.clone(), Arc::clone(&shared), next);
    let reader = Reader::new(dir.to_owned(), options, shared, ledger, quarantine, backlog);
    (writer, reader)
}

/// A ledger that tells nothing, in place of an unreadable one, which is kept.
fn replace_ledger(
    dir: &Path,
    instance: InstanceId,
    durable: bool,
    quarantine: &mut Quarantine,
    report: &mut Report,
) -> Result<(LedgerFile, Ledger), SpoolError> {
    let path = dir.join(ledger::LEDGER_FILE);
    // A blank one was being made when its process died: nothing to keep.
    if path.exists() && !LedgerFile::is_blank(dir).unwrap_or(false) {
        let path = quarantine.take(&path).map_err(SpoolError::io("set aside", &path))?;
        report.set_aside.push(SetAside { path, reason: SetAsideReason::Unreadable });
    }
    let ledger = empty_ledger(instance, true);
    let file = LedgerFile::create(dir, &ledger, durable)
        .map_err(SpoolError::io("create the ledger in", dir))?;
    Ok((file, ledger))
}

fn empty_ledger(instance: InstanceId, account_unknown: bool) -> Ledger {
    Ledger {
        instance,
        released_through: 0,
        next_group: 0,
        records: 0,
        batches: 0,
        tally: Tally::default(),
        lost: LostRanges::default(),
        account_unknown,
    }
}

#[cfg(test)]
mod tests;
