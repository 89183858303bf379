//! Private directories, directory syncs, and what kind of file system a path lies on.
//!
//! Knows nothing of what the files hold. Every call here may block on the disk.

use std::fs::DirBuilder;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Creates the directory `path` (and missing parents) with mode 0700, or accepts the one there.
///
/// # Errors
///
/// What the system says; `PermissionDenied` when the directory belongs to another user or lets
/// others in, `NotADirectory` or a loop error when it is a file or a symbolic link: a directory
/// that somebody else can write is no place for files that we map.
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    check_private_directory(path)
}

/// Whether `path` is a directory of ours that lets nobody else in.
///
/// # Errors
///
/// As [`create_private_directory`]; `NotFound` where there is none.
pub fn check_private_directory(path: &Path) -> io::Result<()> {
    let metadata = open_directory(path)?.metadata()?;
    if metadata.uid() != effective_user() {
        let owner = metadata.uid();
        return Err(denied(format!("{} belongs to user {owner}, not to us", path.display())));
    }
    if metadata.mode() & 0o077 != 0 {
        let mode = metadata.mode() & 0o777;
        return Err(denied(format!(
            "{} has mode {mode:o}: it must be closed to group and others (chmod 700)",
            path.display()
        )));
    }
    Ok(())
}

/// Makes creations, renames and removals in the directory `path` durable.
///
/// # Errors
///
/// What `open` or `fsync` say; then nothing is known about what is durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    open_directory(path)?.sync_all()
}

/// What kind of file system a path lies on, as far as mappings and durability care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemKind {
    /// Memory: no write-back stalls, gone after a reboot, charged to the memory limit.
    Tmpfs,
    /// ext2, ext3 or ext4: preallocated blocks stay ours.
    Ext,
    /// XFS: as ext4, unless a file was cloned (reflink).
    Xfs,
    /// btrfs: copy on write, preallocation does not cover an overwrite.
    Btrfs,
    /// overlayfs, as in most containers: as the file system below it.
    Overlay,
    /// Anything else, by its magic number of `statfs(2)`.
    Other(u64),
}

/// What `statfs(2)` tells about the file system of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its kind.
    pub kind: FileSystemKind,
    /// Bytes that we may still allocate; a file system without a limit says 0 total and free.
    pub free_bytes: u64,
    /// Its whole size in bytes.
    pub total_bytes: u64,
}

impl FileSystem {
    /// The file system of the existing directory `path`.
    ///
    /// # Errors
    ///
    /// What `open` or `fstatfs` say.
    pub fn of(path: &Path) -> io::Result<FileSystem> {
        let directory = File::open(path)?;
        let mut status = MaybeUninit::<libc::statfs>::uninit();
        // SAFETY: the descriptor is open for the whole call and `status` has room for the result.
        let result = unsafe { libc::fstatfs(directory.as_raw_fd(), status.as_mut_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fstatfs` returned 0, so it filled in the structure.
        let status = unsafe { status.assume_init() };
        let block_bytes = u64::try_from(status.f_bsize).unwrap_or(0);
        Ok(FileSystem {
            kind: FileSystemKind::from_magic(status.f_type as u64),
            free_bytes: block_bytes.saturating_mul(status.f_bavail),
            total_bytes: block_bytes.saturating_mul(status.f_blocks),
        })
    }

    /// Whether the files live in memory.
    pub fn is_tmpfs(&self) -> bool {
        self.kind == FileSystemKind::Tmpfs
    }
}

impl FileSystemKind {
    /// The magic numbers of `statfs(2)`.
    fn from_magic(magic: u64) -> Self {
        match magic & 0xffff_ffff {
            0x0102_1994 => FileSystemKind::Tmpfs,
            0xef53 => FileSystemKind::Ext,
            0x5846_5342 => FileSystemKind::Xfs,
            0x9123_683e => FileSystemKind::Btrfs,
            0x794c_7630 => FileSystemKind::Overlay,
            other => FileSystemKind::Other(other),
        }
    }
}

/// The user whose files are ours.
/// The effective user id of this process.
pub fn effective_user() -> u32 {
    // SAFETY: geteuid has no arguments, touches no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// Opens an existing regular file of ours for reading and writing, without following a link and
/// without waiting for a pipe's other end.
///
/// # Errors
///
/// What `open` says; `PermissionDenied` for a special file or another user's.
pub fn open_own_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    check_own_file(&file, path)?;
    Ok(file)
}

/// Refuses what is not a regular file of ours.
pub(super) fn check_own_file(file: &File, path: &Path) -> io::Result<()> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != effective_user() {
        return Err(denied(format!("{} is not a regular file of ours", path.display())));
    }
    Ok(())
}

fn open_directory(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
}

fn denied(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_private_directory_is_made_once_and_checked_every_time() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        create_private_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        create_private_directory(&path).unwrap();

        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let error = create_private_directory(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("mode 750"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("target");
        create_private_directory(&target).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(create_private_directory(&link).is_err());
        assert!(sync_directory(&link).is_err());
        sync_directory(&target).unwrap();
    }

    #[test]
    fn the_file_system_is_recognised() {
        let root = tempfile::tempdir().unwrap();
        let file_system = FileSystem::of(root.path()).unwrap();
        assert!(file_system.total_bytes >= file_system.free_bytes);
        if Path::new("/dev/shm").is_dir() {
            assert!(FileSystem::of(Path::new("/dev/shm")).unwrap().is_tmpfs());
        }
    }
}
