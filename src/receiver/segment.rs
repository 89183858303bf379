//! One segment file that is being appended to.
//!
//! Owns the file's length as we know it: bytes below it are whole batches. Must not know topics,
//! offsets' meaning or durability policy. Invariant: after an error the segment is never written
//! again ([`Segment::abandon`]), because a failed write or sync leaves its end in doubt.

use std::fs::File;
use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io;
use std::io::IoSlice;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::ids::Moment;
use crate::inspect::layout;

/// Bytes of a batch header that a receiver writes itself: base offset, and the leader epoch after
/// the length. None of them is covered by the batch's CRC.
const BASE_OFFSET: Range<usize> = 0..8;
const LEADER_EPOCH: Range<usize> = 12..16;
const PATCHED_BYTES: usize = 16;

/// A segment file, open or closed for the time being.
pub(crate) struct Segment {
    path: PathBuf,
    base_offset: u64,
    bytes: u64,
    started: Moment,
    file: Option<File>,
    /// Offsets that were appended since the last sync.
    unsynced: Option<Range<u64>>,
}

impl Segment {
    /// Creates the segment whose first record has `base_offset`.
    pub fn create(dir: &Path, base_offset: u64, now: Moment) -> io::Result<Self> {
        let path = dir.join(layout::segment_name(base_offset));
        let file = private_file(OpenOptions::new().write(true).create_new(true), &path)?;
        Ok(Self { path, base_offset, bytes: 0, started: now, file: Some(file), unsynced: None })
    }

    /// A segment of an earlier run that holds `bytes` of whole batches; it stays closed until used.
    pub fn existing(path: PathBuf, base_offset: u64, bytes: u64, now: Moment) -> Self {
        Self { path, base_offset, bytes, started: now, file: None, unsynced: None }
    }

    /// Appends one record batch as `records.start`..`records.end`, with its offset patched in.
    pub fn append(&mut self, batch: &[u8], records: Range<u64>) -> io::Result<()> {
        let (head, rest) = batch
            .split_first_chunk::<PATCHED_BYTES>()
            .expect("only validated batches, of 61 bytes and more, reach a segment");
        let mut head = *head;
        head[BASE_OFFSET].copy_from_slice(&records.start.to_be_bytes());
        head[LEADER_EPOCH].copy_from_slice(&0u32.to_be_bytes());
        write_all(self.open()?, &head, rest)?;
        self.bytes += batch.len() as u64;
        let from = self.unsynced.as_ref().map_or(records.start, |unsynced| unsynced.start);
        self.unsynced = Some(from..records.end);
        Ok(())
    }

    /// Makes the bytes that were appended durable. They count as synced once the file's name is durable, too:
    /// [`Segment::note_synced`].
    pub fn sync_bytes(&mut self) -> io::Result<()> {
        if self.unsynced.is_some() {
            self.open()?.sync_data()?;
        }
        Ok(())
    }

    /// A power cut takes nothing of what was appended any more.
    pub fn note_synced(&mut self) {
        self.unsynced = None;
    }

    /// Its sync failed, and the kernel may call lost pages clean now: tells the next run not to trust what it reads.
    pub fn mark_in_doubt(&self) {
        // Best effort, on a disk that has just failed. It need not be durable: after a power cut what is read is what
        // is on the disk.
        let options = &mut OpenOptions::new();
        let _ = private_file(options.write(true).create(true), &layout::doubt_path(&self.path));
    }

    /// Gives the file handle back; the next use opens it again.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Ends the segment's use after an error: cuts off what may be half a batch and removes the
    /// file if nothing is in it. Whether that worked; if not, the file's name must not be used
    /// again.
    pub fn abandon(self) -> bool {
        let Some(file) = &self.file else { return false };
        if self.bytes == 0 {
            return std::fs::remove_file(&self.path).is_ok();
        }
        file.set_len(self.bytes).is_ok()
    }

    pub fn base_offset(&self) -> u64 {
        self.base_offset
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn started(&self) -> Moment {
        self.started
    }

    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Offsets that a power cut would take.
    pub fn unsynced(&self) -> Option<Range<u64>> {
        self.unsynced.clone()
    }

    fn open(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = private_file(OpenOptions::new().write(true), &self.path)?;
                file.seek(SeekFrom::Start(self.bytes))?;
                file
            }
        };
        Ok(self.file.insert(file))
    }
}

/// Opens a file of ours: never through a symbolic link, never inherited, 0600 whatever the umask.
pub(crate) fn private_file(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// Writes `head` then `rest` at the file's position without joining them in memory.
fn write_all(file: &mut File, head: &[u8], rest: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(head), IoSlice::new(rest)];
    let mut slices = slices.as_mut_slice();
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
