//! Who owns a slot: a POSIX record lock that dies with its process.
//!
//! Owns the process-wide list of locks held, because the kernel drops *all* record locks of a
//! process on a file when *any* descriptor of that file is closed: so one process opens a lock file
//! at most once at a time. A forked child does not inherit the lock, and its copy of the descriptor
//! cannot release it (`flock` and OFD locks would stay held by the child).

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::sys::file::check_own_file;
use crate::sys::fork;
use crate::sys::set_once::SetOnce;

/// The name of the lock file in a slot's directory.
pub const LOCK_FILE: &str = "lock";

/// Device and inode of a slot's directory.
type DirectoryId = (u64, u64);

/// What one process holds; a forked child starts with an empty list of its own, since record locks are
/// not inherited, and since the parent's list may have been locked by another thread at that moment.
struct Process {
    generation: u64,
    held: Mutex<BTreeSet<DirectoryId>>,
    child: SetOnce<Process>,
}

static FIRST: SetOnce<Process> = SetOnce::new();

/// The ownership of one slot directory, held until dropped or until the process ends.
#[derive(Debug)]
pub struct SlotLock {
    directory: DirectoryId,
    file: Option<File>,
}

impl SlotLock {
    /// Takes the lock of the existing directory `dir`, creating the lock file where missing.
    ///
    /// `None` when a living process holds it, this one included, or when the directory was removed
    /// meanwhile by its last owner. Never waits for the lock.
    ///
    /// # Errors
    ///
    /// What `stat`, `open` or `fcntl` say; `PermissionDenied` when the lock file is not a regular
    /// file of ours.
    pub fn acquire(dir: &Path) -> io::Result<Option<SlotLock>> {
        let directory = directory_id(dir)?;
        let mut held = held();
        if held.contains(&directory) {
            return Ok(None);
        }
        let path = dir.join(LOCK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path)?;
        check_own_file(&file, &path)?;
        if !try_lock(&file)? || !is_still_at(&file, &path)? {
            return Ok(None);
        }
        held.insert(directory);
        Ok(Some(SlotLock { directory, file: Some(file) }))
    }

    /// Whether a living process, this one included, holds the lock of `dir`; takes nothing.
    ///
    /// # Errors
    ///
    /// What `stat`, `open` or `fcntl` say; a missing lock file is `false`.
    pub fn probe(dir: &Path) -> io::Result<bool> {
        let directory = directory_id(dir)?;
        // Held over the open and close below: closing a second descriptor would drop our own lock.
        let held = held();
        if held.contains(&directory) {
            return Ok(true);
        }
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(dir.join(LOCK_FILE));
        match opened {
            Ok(file) => is_locked_by_another(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for SlotLock {
    fn drop(&mut self) {
        let mut held = held();
        drop(self.file.take());
        held.remove(&self.directory);
    }
}

/// Directories whose lock this process holds; also serialises every opening of a lock file.
fn held() -> MutexGuard<'static, BTreeSet<DirectoryId>> {
    let generation = fork::generation();
    let mut place = &FIRST;
    loop {
        let process = match place.get() {
            Some(process) => process,
            None => {
                let held = Mutex::default();
                let fresh = Process { generation, held, child: SetOnce::new() };
                // Where another thread was faster, its list is found in the next round.
                match place.set(Box::new(fresh)) {
                    Ok(process) => process,
                    Err(_slower) => continue,
                }
            }
        };
        if process.generation == generation {
            return process.held.lock().unwrap_or_else(PoisonError::into_inner);
        }
        place = &process.child;
    }
}

fn directory_id(dir: &Path) -> io::Result<DirectoryId> {
    let metadata = fs::metadata(dir)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Whether `path` still names the locked file: its last owner may have removed the slot between our
/// `open` and our lock, and a lock on a removed file protects nothing.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A write lock over the whole file.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

fn try_lock(file: &File) -> io::Result<bool> {
    let request = whole_file();
    // SAFETY: the descriptor is open and `request` is a valid flock structure that is only read.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const request) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EAGAIN) => Ok(false),
        _ => Err(error),
    }
}

fn is_locked_by_another(file: &File) -> io::Result<bool> {
    let mut answer = whole_file();
    // SAFETY: the descriptor is open and `answer` is a valid flock structure, ours alone.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut answer) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer.l_type != libc::F_UNLCK as libc::c_short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::io::Read;
    use std::io::Write;
    use std::process::Command;
    use std::process::Stdio;

    const CHILD_DIR: &str = "LOGDRIVE_TEST_LOCK_DIR";

    #[test]
    fn the_same_process_never_gets_it_twice_and_never_loses_it_by_looking() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!SlotLock::probe(dir.path()).unwrap(), "no lock file yet");
        let lock = SlotLock::acquire(dir.path()).unwrap().unwrap();
        assert!(SlotLock::acquire(dir.path()).unwrap().is_none());
        assert!(SlotLock::probe(dir.path()).unwrap());
        assert!(!child_can_lock(dir.path()), "the kernel still holds it after probe and acquire");
        drop(lock);
        assert!(!SlotLock::probe(dir.path()).unwrap());
        assert!(child_can_lock(dir.path()));
        assert!(SlotLock::acquire(dir.path()).unwrap().is_some());
    }

    #[test]
    fn it_dies_with_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child(dir.path()).stdin(Stdio::piped()).spawn().unwrap();
        wait_for_line(&mut child, b"yes");
        assert!(SlotLock::probe(dir.path()).unwrap());
        assert!(SlotLock::acquire(dir.path()).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!SlotLock::probe(dir.path()).unwrap());
        assert!(SlotLock::acquire(dir.path()).unwrap().is_some());
    }

    #[test]
    fn a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(LOCK_FILE)).unwrap();
        assert!(SlotLock::acquire(dir.path()).is_err());
    }

    /// Runs only as the child of the tests above: locks, says so, waits for its stdin to close.
    #[test]
    fn child_process() {
        let Some(dir) = env::var_os(CHILD_DIR) else { return };
        let lock = SlotLock::acquire(Path::new(&dir)).unwrap();
        let answer: &[u8] = if lock.is_some() { b"<yes>" } else { b"<no>" };
        io::stderr().write_all(answer).unwrap();
        let mut rest = Vec::new();
        io::stdin().read_to_end(&mut rest).unwrap();
    }

    fn child(dir: &Path) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "sys::lock::tests::child_process", "--nocapture"])
            .env(CHILD_DIR, dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn child_can_lock(dir: &Path) -> bool {
        let output = child(dir).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).contains("<yes>")
    }

    fn wait_for_line(child: &mut std::process::Child, expected: &[u8]) {
        let mut seen = Vec::new();
        let mut byte = [0];
        let stderr = child.stderr.as_mut().unwrap();
        while !seen.ends_with(b">") {
            assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        assert!(seen.windows(expected.len()).any(|window| window == expected));
    }
}
