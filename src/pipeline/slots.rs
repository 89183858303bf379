//! Slots: the directories of one process's run, and who owns them.
//!
//! ```text
//! <ring root>/<name>/<instance>/   lock  arena           on tmpfs
//! <spool root>/<name>/<instance>/  lock  slot  and the spool's files, in the same directory unless spool.dir is set
//! ```
//!
//! Owns their life: made under a fresh instance id, adopted when their owner is dead (its record lock is gone;
//! never by a timeout, never by a pid), removed when everything in them is delivered. Only files whose
//! names are known are ever removed; whatever else lies there keeps the directory. [`find`] only looks.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;

use crate::ids::InstanceId;
use crate::pipeline::slots::file_of_slot::NEW_SLOT_FILE;
use crate::pipeline::slots::file_of_slot::SLOT_FILE;
use crate::pipeline::slots::file_of_slot::read_slot_file;
use crate::pipeline::slots::file_of_slot::write_slot_file;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::file;
use crate::sys::file::FileSystem;
use crate::sys::lock::LOCK_FILE;
use crate::sys::lock::SlotLock;
use crate::sys::process;

mod file_of_slot;

/// The arena's file in a slot's ring directory.
pub const ARENA_FILE: &str = "arena";
/// An arena that could not be read, kept.
const UNREADABLE_ARENA_FILE: &str = "arena.unreadable";
/// Of a spool's directory while it is made: no adopter looks for that.
const UNFINISHED_EXTENSION: &str = "new";
/// Stands for the owner in the file of a slot that was given up by a living process.
const NOBODY: &str = "-";
/// Tries to find an instance id whose directory is ours.
const CREATE_TRIES_MAX: u32 = 16;

/// Where slots of one name live.
#[derive(Clone, Debug)]
pub struct Roots {
    /// Directory of arenas; on tmpfs unless the user chose otherwise.
    pub ring: PathBuf,
    /// Directory of spools; the same as `ring` unless `spool.dir` is set.
    pub spool: PathBuf,
    /// The application's name: a directory below each root.
    pub name: String,
}

/// Why no slot could be made.
#[derive(Debug, Error)]
pub enum SlotError {
    /// A directory or file of the slot.
    #[error("cannot make the slot {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SlotError {
    fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// A slot that this process owns; its locks are released when it is dropped.
#[derive(Debug)]
pub struct Slot {
    instance: InstanceId,
    ring_dir: PathBuf,
    spool_dir: PathBuf,
    owner: String,
    ring_lock: Option<SlotLock>,
    /// None where the directory could not be made so far.
    spool_lock: Option<SlotLock>,
}

/// Whether the process whose slot it is runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// It holds the slot's lock.
    Alive,
    /// Nobody holds the lock: the next process of the name takes the slot over.
    Dead,
    /// The lock could not be looked at, and why.
    Unknown(String),
}

/// A slot that was found, whoever owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSlot {
    /// The application's name.
    pub name: String,
    /// Whose slot it is, or was.
    pub instance: InstanceId,
    /// The directory of the spool.
    pub spool_dir: PathBuf,
    /// Bytes of the arena; none where it is gone or out of reach.
    pub arena_bytes: Option<u64>,
    /// Its process.
    pub owner: Owner,
}

/// Every slot below the spool root `root`, by name and instance. Takes nothing, changes nothing; other
/// files and directories are passed over.
///
/// # Errors
///
/// When `root` cannot be listed.
pub fn find(root: &Path) -> io::Result<Vec<FoundSlot>> {
    let mut names: Vec<_> =
        fs::read_dir(root)?.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names {
        let roots = Roots { ring: root.to_owned(), spool: root.to_owned(), name };
        found.extend(roots.instances().into_iter().map(|instance| roots.look_at(instance)));
    }
    Ok(found)
}

impl Roots {
    /// The roots for these settings; `None` stands for the default.
    pub fn new(ring_dir: Option<&Path>, spool_dir: Option<&Path>, name: &str) -> Self {
        // Absolute, for hosts that change their directory later; as it is where that cannot be told.
        let absolute = |dir: &Path| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let ring = ring_dir.map_or_else(default_root, absolute);
        let spool = spool_dir.map_or_else(|| ring.clone(), absolute);
        Self { ring, spool, name: name.to_owned() }
    }

    /// Makes a slot under a fresh random id and locks it. A directory that cannot be made (a full disk, a read-only
    /// one) is none: the host must start; [`Slot::tend`] makes the spool's later.
    pub fn create(&self) -> Result<Slot, SlotError> {
        let mut last = None;
        for _ in 0..CREATE_TRIES_MAX {
            let instance = random_instance().map_err(SlotError::at(Path::new("/dev/urandom")))?;
            match self.try_create(instance) {
                Some(slot) => return Ok(slot),
                None => last = Some(instance),
            }
        }
        let path = self.spool_dir(last.unwrap_or(InstanceId([0; 16])));
        let source = io::Error::other("another process takes every directory we make");
        Err(SlotError::Io { path, source })
    }

    /// Takes over every slot of the name whose owner is dead. What cannot be read is left as it is.
    pub fn adopt_dead(&self) -> Vec<Slot> {
        self.remove_unfinished();
        self.instances().into_iter().filter_map(|instance| self.adopt(instance)).collect()
    }

    /// Directories whose makers died before others could see them; nothing was ever in them.
    fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(self.spool.join(&self.name)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_unfinished = path.extension().is_some_and(|e| e == UNFINISHED_EXTENSION);
            if is_unfinished && SlotLock::probe(&path).is_ok_and(|is_locked| !is_locked) {
                // Best effort: a living maker finds it gone and makes another one.
                for file in [NEW_SLOT_FILE, SLOT_FILE, LOCK_FILE] {
                    let _ = fs::remove_file(path.join(file));
                }
                let _ = fs::remove_dir(&path);
            }
        }
    }

    fn instances(&self) -> Vec<InstanceId> {
        let Ok(entries) = fs::read_dir(self.spool.join(&self.name)) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut instances: Vec<_> = names.filter_map(|name| InstanceId::parse(&name)).collect();
        instances.retain(|instance| !is_ring_directory_only(&self.spool_dir(*instance)));
        instances.sort_unstable();
        instances
    }

    fn look_at(&self, instance: InstanceId) -> FoundSlot {
        let spool_dir = self.spool_dir(instance);
        let arena = self.recorded_ring_dir(instance).join(ARENA_FILE);
        let owner = match SlotLock::probe(&spool_dir) {
            Ok(true) => Owner::Alive,
            Ok(false) => Owner::Dead,
            Err(error) => Owner::Unknown(error.to_string()),
        };
        FoundSlot {
            name: self.name.clone(),
            instance,
            spool_dir,
            arena_bytes: fs::symlink_metadata(arena).ok().map(|metadata| metadata.len()),
            owner,
        }
    }

    /// The ring directory that the slot's file names. Where the file is missing or spoiled, the rings are most
    /// likely where we would put them.
    fn recorded_ring_dir(&self, instance: InstanceId) -> PathBuf {
        let recorded = read_slot_file(&self.spool_dir(instance)).map(|(ring_dir, _)| ring_dir);
        let is_credible = |dir: &PathBuf| dir.ends_with(instance.to_string()) && dir.is_dir();
        recorded.ok().filter(is_credible).unwrap_or_else(|| self.ring_dir(instance))
    }

    fn adopt(&self, instance: InstanceId) -> Option<Slot> {
        let spool_dir = self.spool_dir(instance);
        // The kernel gives a process every record lock that the process itself holds, so another copy
        // of this library in it would not be stopped by ours: its slots are known by their owner's name.
        let own = process::token();
        match read_slot_file(&spool_dir) {
            Ok((_, owner)) if owner == own => return None,
            // An empty directory is a slot that is being made at this moment.
            Err(_) if is_empty_but_for_the_lock(&spool_dir) => return None,
            Ok(_) | Err(_) => {}
        }
        let ring_dir = self.recorded_ring_dir(instance);
        let spool_lock = Some(SlotLock::acquire(&spool_dir).ok()??);
        let ring_lock = match ring_dir != spool_dir && ring_dir.is_dir() {
            true => Some(SlotLock::acquire(&ring_dir).ok()??),
            false => None,
        };
        write_slot_file(&spool_dir, &ring_dir, &own).ok()?;
        Some(Slot { instance, ring_dir, spool_dir, owner: own, ring_lock, spool_lock })
    }

    /// None where another process was faster to find a directory that was not locked yet.
    fn try_create(&self, instance: InstanceId) -> Option<Slot> {
        let (ring_dir, spool_dir) = (self.ring_dir(instance), self.spool_dir(instance));
        let owner = process::token();
        let mut slot =
            Slot { instance, ring_dir, spool_dir, owner, ring_lock: None, spool_lock: None };
        let spool = slot.make_spool_dir();
        let ring = match slot.ring_dir == slot.spool_dir {
            true => Ok(true),
            false => slot.make_ring_dir(),
        };
        crash_point(Point::SlotMade);
        let was_taken = |made: &io::Result<bool>| match made {
            Ok(is_ours) => !is_ours,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        // Where a root itself cannot be made, it is not found either; another instance would not help.
        let is_there = |root: &Path| root.join(&self.name).is_dir();
        let is_lost =
            was_taken(&spool) && is_there(&self.spool) || was_taken(&ring) && is_there(&self.ring);
        (!is_lost).then_some(slot)
    }

    fn ring_dir(&self, instance: InstanceId) -> PathBuf {
        self.ring.join(&self.name).join(instance.to_string())
    }

    fn spool_dir(&self, instance: InstanceId) -> PathBuf {
        self.spool.join(&self.name).join(instance.to_string())
    }
}

impl Slot {
    /// Whose slot it is.
    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// The directory of the spool.
    pub fn spool_dir(&self) -> &Path {
        &self.spool_dir
    }

    /// Makes the spool's directory where it could not be made before, or is gone: ours from the instant at which
    /// others can see it. True where it is there.
    pub fn tend(&mut self) -> bool {
        if self.spool_lock.is_some() && self.spool_dir.join(SLOT_FILE).exists() {
            return true;
        }
        self.make_spool_dir().unwrap_or(false)
    }

    fn make_ring_dir(&mut self) -> io::Result<bool> {
        file::create_private_directory(&self.ring_dir)?;
        self.ring_lock = SlotLock::acquire(&self.ring_dir)?;
        Ok(self.ring_lock.is_some())
    }

    /// Under a name that no adopter looks for, then renamed: the lock stays with the file.
    fn make_spool_dir(&mut self) -> io::Result<bool> {
        let fresh = self.spool_dir.with_extension(UNFINISHED_EXTENSION);
        file::create_private_directory(&fresh)?;
        write_slot_file(&fresh, &self.ring_dir, &self.owner)?;
        let Some(lock) = SlotLock::acquire(&fresh)? else { return Ok(false) };
        fs::rename(&fresh, &self.spool_dir)?;
        self.spool_lock = Some(lock);
        Ok(true)
    }

    /// The arena's path.
    pub fn arena_path(&self) -> PathBuf {
        self.ring_dir.join(ARENA_FILE)
    }

    /// Removes the arena, all of whose records are in the spool or accounted for.
    pub fn remove_arena(&self) -> io::Result<()> {
        remove_if_there(&self.arena_path())
    }

    /// Keeps an arena that could not be read, under another name, for whoever wants to look at it.
    pub fn set_arena_aside(&self) -> io::Result<()> {
        fs::rename(self.arena_path(), self.ring_dir.join(UNREADABLE_ARENA_FILE))
    }

    /// Removes the slot after its spool's files were removed.
    ///
    /// The directory that others find the slot by goes last; one that holds anything unknown stays.
    pub fn remove(self) -> io::Result<()> {
        self.remove_arena()?;
        if self.ring_dir != self.spool_dir && self.ring_dir.is_dir() {
            remove_empty(&self.ring_dir)?;
        }
        remove_if_there(&self.spool_dir.join(SLOT_FILE))?;
        remove_empty(&self.spool_dir)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.owner == process::token() && self.spool_dir.join(SLOT_FILE).exists() {
            // Where it cannot be given up, this process's end gives it up.
            let _kept = write_slot_file(&self.spool_dir, &self.ring_dir, NOBODY);
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _removed_or_absent => Ok(()),
    }
}

fn is_empty_but_for_the_lock(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|entries| entries.count() <= 1)
}

/// Removes a directory that holds nothing but its lock, which goes last.
fn remove_empty(dir: &Path) -> io::Result<()> {
    if is_empty_but_for_the_lock(dir) {
        fs::remove_file(dir.join(LOCK_FILE))?;
        fs::remove_dir(dir)?;
        // The name's own directory, where this was its last slot; else it is not empty.
        let _other_slots = dir.parent().map(fs::remove_dir);
    }
    Ok(())
}

/// Whether `dir` holds rings of a slot whose spool lies elsewhere: that is adopted from there, with the
/// positions that its spool tells.
fn is_ring_directory_only(dir: &Path) -> bool {
    let ring_files = [LOCK_FILE, ARENA_FILE, UNREADABLE_ARENA_FILE];
    let Ok(mut entries) = fs::read_dir(dir) else { return false };
    entries.all(|entry| entry.is_ok_and(|e| ring_files.iter().any(|file| e.file_name() == *file)))
}

fn random_instance() -> io::Result<InstanceId> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(InstanceId(bytes))
}

/// Where slots live by default: a directory of ours on the system's tmpfs, else below the temporary one.
pub fn default_root() -> PathBuf {
    let leaf = format!("logdrive-{}", file::effective_user());
    let shared_memory = Path::new("/dev/shm");
    let is_tmpfs = FileSystem::of(shared_memory).is_ok_and(|system| system.is_tmpfs());
    let parent = if is_tmpfs { shared_memory.to_owned() } else { std::env::temp_dir() };
    parent.join(leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(dir: &Path) -> Roots {
        Roots::new(Some(&dir.join("ring")), Some(&dir.join("spool")), "test")
    }

    #[test]
    fn a_slot_is_ours_until_dropped_then_adopted_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        let slot = roots.create().unwrap();
        let instance = slot.instance();
        assert!(roots.adopt_dead().is_empty(), "its owner lives");
        fs::write(slot.arena_path(), b"arena").unwrap();
        drop(slot);
        let adopted = roots.adopt_dead();
        assert_eq!(adopted.len(), 1);
        assert_eq!(adopted[0].instance(), instance);
        assert!(roots.adopt_dead().is_empty(), "adopted once");
        let spool_dir = adopted[0].spool_dir().to_owned();
        adopted.into_iter().for_each(|slot| slot.remove().unwrap());
        assert!(!spool_dir.exists());
        assert!(roots.adopt_dead().is_empty());
    }

    #[test]
    fn slots_are_found_with_their_owners_and_strangers_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        let slot = roots.create().unwrap();
        fs::write(slot.arena_path(), b"arena").unwrap();
        fs::write(roots.spool.join("file"), b"").unwrap();
        fs::create_dir_all(roots.spool.join("test/no-instance")).unwrap();
        let found = find(&roots.spool).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].instance), ("test", slot.instance()));
        assert_eq!((&found[0].owner, found[0].arena_bytes), (&Owner::Alive, Some(5)));
        drop(slot);
        assert_eq!(find(&roots.spool).unwrap()[0].owner, Owner::Dead);
        assert!(find(&dir.path().join("absent")).is_err());
    }

    #[test]
    fn the_rings_of_a_slot_whose_spool_lies_elsewhere_are_no_slot() {
        let dir = tempfile::tempdir().unwrap();
        let slot = roots(dir.path()).create().unwrap();
        fs::write(slot.arena_path(), b"arena").unwrap();
        drop(slot);
        let beside = Roots::new(Some(&dir.path().join("ring")), None, "test");
        assert!(beside.adopt_dead().is_empty(), "its spool would be thought empty");
        assert_eq!(find(&dir.path().join("ring")).unwrap(), []);
        assert_eq!(roots(dir.path()).adopt_dead().len(), 1);
    }

    #[test]
    fn what_is_not_ours_keeps_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let roots = roots(dir.path());
        let slot = roots.create().unwrap();
        let foreign = slot.spool_dir().join("notes.txt");
        fs::write(&foreign, b"mine").unwrap();
        slot.remove().unwrap();
        assert_eq!(fs::read(&foreign).unwrap(), b"mine");
    }
}
