//! Files whose blocks are all there before the first byte counts.
//!
//! A sparse file behind a mapping turns a full disk into a signal; behind `pwrite`, into a surprise later.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys::faults::Point;
use crate::sys::faults::crash_point;

/// Creates the file `path` (mode 0600, must not exist) with `bytes` allocated zeros.
///
/// Blocks on the disk. On any error the file is gone again and no block stays allocated.
///
/// # Errors
///
/// What `open` or `fallocate` say; `FileTooLarge` where `RLIMIT_FSIZE` is lower (the kernel would send a fatal
/// signal).
pub fn create_allocated(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    crash_point(Point::SegmentCreated);
    match preallocate(&file, bytes) {
        Ok(()) => Ok(file),
        Err(error) => {
            discard(&file, path);
            Err(error)
        }
    }
}

/// Removes a file that could not be made whole. ext4 keeps the blocks of a failed fallocate until the file
/// shrinks. Both are best effort: the first error is the one to report.
pub(super) fn discard(file: &File, path: &Path) {
    let _ = file.set_len(0);
    let _ = fs::remove_file(path);
}

/// Allocates real blocks, so that no later store can meet a full disk.
pub(super) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    if bytes > file_bytes_limit()? {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    let length = libc::off_t::try_from(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many bytes for a file"))?;
    loop {
        // SAFETY: the descriptor is open for the whole call; no memory is touched.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return write_zeros(file, bytes),
            _ => return Err(error),
        }
    }
}

/// Where the file system cannot allocate ahead; libc's emulation is not relied on.
fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = [0u8; 64 * 1024];
    let mut at = 0;
    while at < bytes {
        let part = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// `RLIMIT_FSIZE`: beyond it `fallocate` kills the process with SIGXFSZ.
fn file_bytes_limit() -> io::Result<u64> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` has room for the result.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `getrlimit` returned 0, so it filled in the structure.
    Ok(unsafe { limit.assume_init() }.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_are_written_where_nothing_can_be_allocated() {
        let file = tempfile::tempfile().unwrap();
        write_zeros(&file, 150_000).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), 150_000);
        assert!(metadata.blocks() * 512 >= 150_000);
    }
}
