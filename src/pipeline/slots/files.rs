//! The small files of a slot and its directories: read as hostile, written whole, removed only when known.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use crate::ids::InstanceId;
use crate::spool;
use crate::sys::lock::LOCK_FILE;

/// The arena's file in a slot's ring directory.
pub const ARENA_FILE: &str = "arena";
/// In a ring directory apart from its spool's: one line, where that is. Only where that place is one of ours, and
/// gone although its neighbours are there, do the rings count as a slot of their own.
pub const SPOOL_DIR_FILE: &str = "spool";
/// Two lines: the slot's ring directory, and its owner's name for itself (see `sys::process`).
pub const SLOT_FILE: &str = "slot";
/// The same while it is written.
const NEW_SLOT_FILE: &str = "slot.new";

/// Removes a file, or finds that it is gone.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _removed_or_absent => Ok(()),
    }
}

/// Removes a directory of a slot that never came to be; without a descriptor, for want of which it may have been.
pub fn remove_unused(dir: &Path) -> io::Result<()> {
    for file in [ARENA_FILE, SPOOL_DIR_FILE, NEW_SLOT_FILE, SLOT_FILE, LOCK_FILE] {
        remove_if_there(&dir.join(file))?;
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _removed_or_absent => {
            // As in `remove_empty`.
            let _other_slots = dir.parent().map(fs::remove_dir);
            Ok(())
        }
    }
}

/// Whether a directory holds nothing but its lock.
pub fn is_empty_but_for_the_lock(dir: &Path) -> bool {
    let is_lock = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|e| e.file_name() == LOCK_FILE);
    fs::read_dir(dir).is_ok_and(|mut entries| entries.all(is_lock))
}

/// Whether a directory holds a file that is a slot's, or a spool's: something to deliver or to remove.
pub fn holds_slot_files(dir: &Path) -> bool {
    let slot_files = [ARENA_FILE, SPOOL_DIR_FILE, NEW_SLOT_FILE, SLOT_FILE];
    let is_known = |name: &OsStr| slot_files.iter().any(|file| name == *file);
    let mut entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.any(|entry| is_known(&entry.file_name()) || spool::is_own_file(&entry.path()))
}

/// Removes a directory that holds nothing but its lock, which goes last.
pub fn remove_empty(dir: &Path) -> io::Result<()> {
    if is_empty_but_for_the_lock(dir) {
        remove_if_there(&dir.join(LOCK_FILE))?;
        match fs::remove_dir(dir) {
            // Somebody who removes what was left unfinished was faster, or is at it.
            Err(error) if !is_gone_or_in_other_hands(&error) => return Err(error),
            _removed_or_not_ours => {}
        }
        // The name's own directory, where this was its last slot; else it is not empty.
        let _other_slots = dir.parent().map(fs::remove_dir);
    }
    Ok(())
}

fn is_gone_or_in_other_hands(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty)
}

/// The instances whose directories lie in `dir`.
pub fn instances_in(dir: &Path) -> Vec<InstanceId> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| InstanceId::parse(&name)).collect()
}

/// The text of a small file; hostile until checked, so a bounded part of a regular file only.
pub fn read_bounded(path: &Path) -> io::Result<String> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let mut text = String::new();
    file.take(2 * libc::PATH_MAX as u64).read_to_string(&mut text)?;
    Ok(text)
}

/// The two lines of a slot's file.
pub fn read_slot_file(spool_dir: &Path) -> io::Result<(PathBuf, String)> {
    let text = read_bounded(&spool_dir.join(SLOT_FILE))?;
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
