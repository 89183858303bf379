//! A segment that is in memory alone, or whose disk failed, gets a new file.
//!
//! Owns the copy and the order of its steps. A failed sync is never tried again in place: the kernel then calls
//! lost pages clean, so what is in memory is written elsewhere. Address and offsets stay, so every checksum does.
//! A crash in between leaves `copy.new`, which recovery removes, and the segment as it was.

use std::fs;
use std::io;
use std::path::Path;

use crate::spool::segment::Segment;
use crate::spool::segment::segment_name;
use crate::spool::store::Store;
use crate::spool::store::StoreKind;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::file;

/// The copy, until it is whole.
pub const COPY_FILE: &str = "copy.new";

const PIECE_BYTES: usize = 256 << 10;

/// The segment in a new file of `dir`. The caller has the only handle and there is no writer any more.
///
/// # Errors
///
/// What the system says; the segment is then where it was.
pub fn move_home(
    segment: &Segment,
    dir: &Path,
    kind: StoreKind,
    durable: bool,
) -> io::Result<Segment> {
    let copy = dir.join(COPY_FILE);
    if let Err(error) = write_copy(segment, &copy, durable) {
        // Best effort: recovery removes it, and so does the next try.
        let _ = fs::remove_file(&copy);
        return Err(error);
    }
    let path = dir.join(segment_name(segment.address.segment));
    fs::rename(&copy, &path)?;
    if durable {
        file::sync_directory(dir)?;
    }
    crash_point(Point::SegmentCopied);
    let moved = Segment::open(path, segment.address, kind)?;
    Ok(moved.at(segment.start))
}

fn write_copy(segment: &Segment, copy: &Path, durable: bool) -> io::Result<()> {
    let bytes = segment.view.len();
    // Left over by a try that was cut short.
    match fs::remove_file(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _removed_or_absent => {}
    }
    // By `pwrite` on every file system: an error code, and no mapping for one pass.
    let mut store = Store::create(copy, bytes as u64, StoreKind::File)?;
    let mut piece = vec![0; PIECE_BYTES];
    for at in (0..bytes).step_by(PIECE_BYTES) {
        let piece = &mut piece[..PIECE_BYTES.min(bytes - at)];
        segment.view.read_into(at, piece)?;
        store.write(at, piece)?;
    }
    if durable { store.sync() } else { Ok(()) }
}
