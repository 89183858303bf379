//! The slot's file: where its rings are, and its owner's name for itself. Knows nothing of who may own it.

use std::fs;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

/// Two lines: the slot's ring directory, and its owner's name for itself (see `sys::process`).
pub const SLOT_FILE: &str = "slot";
/// The same while it is written.
pub const NEW_SLOT_FILE: &str = "slot.new";

/// The two lines of a slot's file; hostile until checked, so a bounded part of a regular file only.
pub fn read_slot_file(spool_dir: &Path) -> io::Result<(PathBuf, String)> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(spool_dir.join(SLOT_FILE))?;
    let mut text = String::new();
    file.take(2 * libc::PATH_MAX as u64).read_to_string(&mut text)?;
    let mut lines = text.split_terminator('\n');
    match (lines.next(), lines.next()) {
        (Some(ring_dir), Some(owner)) => Ok((ring_dir.into(), owner.to_owned())),
        (Some(_), None) | (None, _) => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Says where the slot's rings are, and whose it is.
pub fn write_slot_file(spool_dir: &Path, ring_dir: &Path, owner: &str) -> io::Result<()> {
    let text = format!("{}\n{owner}\n", ring_dir.display());
    // Renamed into place: killed or out of space in the middle, the old one stays whole.
    let fresh = spool_dir.join(NEW_SLOT_FILE);
    fs::write(&fresh, text)?;
    fs::rename(fresh, spool_dir.join(SLOT_FILE))
}
