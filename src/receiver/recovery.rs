//! Where a partition goes on after a restart.
//!
//! Scans the last segment only: a receiver writes no other. What follows the last good batch was
//! torn by a crash, so it was never acknowledged as durable; it is kept in a `.torn` file beside
//! the segment and cut off. Damage in the middle is left as it is for `verify` to report.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::path::Path;

use crate::ids::Moment;
use crate::inspect::layout;
use crate::inspect::layout::SegmentFile;
use crate::inspect::segment::Found;
use crate::inspect::segment::SegmentReader;
use crate::receiver::dedupe::ProducerBatch;
use crate::receiver::partition;
use crate::receiver::partition::Partition;
use crate::receiver::segment;
use crate::receiver::segment::Segment;
use crate::receiver::store::StoreError;

/// The partition in `dir`, and for each idempotent batch in its last segment a call of `remember`.
pub(crate) fn recover(
    dir: &Path,
    now: Moment,
    mut remember: impl FnMut(ProducerBatch, u64),
) -> Result<Partition, StoreError> {
    let segments = layout::segments(dir).map_err(StoreError::io(dir))?;
    let Some(last) = segments.into_iter().next_back() else {
        return Ok(Partition::new(dir.to_owned(), 0, None));
    };
    let SegmentFile { base_offset, path } = last;
    // What of it is on the disk nobody knows: a repeat of it is no repeat, and nothing more goes in.
    let is_in_doubt = layout::doubt_path(&path).try_exists().map_err(StoreError::io(&path))?;
    let end = scan(&path, base_offset, |producer, offset| {
        if !is_in_doubt {
            remember(producer, offset);
        }
    });
    let end = end.map_err(StoreError::io(&path))?;
    settle(&path, end.bytes).map_err(StoreError::io(&path))?;
    partition::sync_directory(dir).map_err(StoreError::io(dir))?;
    if is_in_doubt {
        let next_offset = end.next_offset.max(base_offset + 1);
        return Ok(Partition::new(dir.to_owned(), next_offset, None));
    }
    let segment = Segment::existing(path, base_offset, end.bytes, now);
    Ok(Partition::new(dir.to_owned(), end.next_offset, Some(segment)))
}

struct End {
    /// Where the last good batch ends.
    bytes: u64,
    next_offset: u64,
}

fn scan(
    path: &Path,
    base_offset: u64,
    mut remember: impl FnMut(ProducerBatch, u64),
) -> io::Result<End> {
    let mut reader = SegmentReader::open(path)?;
    let mut end = End { bytes: 0, next_offset: base_offset };
    while let Some(found) = reader.next_found()? {
        let Found::Batch(batch) = found else { continue };
        let Ok(offset) = u64::try_from(batch.header.base_offset) else { continue };
        end.bytes = batch.end();
        let records = u64::from(batch.header.record_count.cast_unsigned());
        end.next_offset = end.next_offset.max(offset.saturating_add(records));
        if let Some(producer) = ProducerBatch::of(&batch.header) {
            remember(producer, offset);
        }
    }
    Ok(end)
}

/// Moves what follows `keep_bytes` into the `.torn` file, cuts it off, and makes the rest durable:
/// a batch may have been written and not synced when the last run ended, and its repeat is
/// acknowledged.
fn settle(path: &Path, keep_bytes: u64) -> io::Result<()> {
    let mut file = segment::private_file(OpenOptions::new().read(true).write(true), path)?;
    if file.metadata()?.len() > keep_bytes {
        keep_torn_tail(&mut file, path, keep_bytes)?;
        file.set_len(keep_bytes)?;
    }
    file.sync_all()
}

fn keep_torn_tail(file: &mut File, path: &Path, from: u64) -> io::Result<()> {
    let append = &mut OpenOptions::new();
    let torn = layout::torn_path(path);
    let mut torn = segment::private_file(append.append(true).create(true), &torn)?;
    file.seek(SeekFrom::Start(from))?;
    io::copy(file, &mut torn)?;
    torn.sync_all()
}
