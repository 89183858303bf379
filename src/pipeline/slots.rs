//! Slots: the directories of one process's run, and who owns them.
//!
//! ```text
//! <ring root>/<name>/<instance>/   lock  arena  spool    on tmpfs
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
use crate::spool;
use crate::sys::faults::Point;
use crate::sys::faults::crash_point;
use crate::sys::file;
use crate::sys::file::FileSystem;
use crate::sys::lock::LOCK_FILE;
use crate::sys::lock::SlotLock;
use crate::sys::process;

mod files;
mod found;

pub use files::ARENA_FILE;
use files::SLOT_FILE;
use files::SPOOL_DIR_FILE;
use files::holds_slot_files;
use files::instances_in;
use files::is_empty_but_for_the_lock;
use files::read_bounded;
use files::read_slot_file;
use files::remove_empty;
use files::remove_if_there;
use files::remove_unused;
use files::write_slot_file;
pub use found::FoundSlot;
pub use found::Owner;
pub use found::find;

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
    /// None where the directory could not be made so far. The newest one is last; those before it are of directories
    /// that were moved away: nobody may adopt them as long as we live.
    spool_locks: Vec<SlotLock>,
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
        for _ in 1..CREATE_TRIES_MAX {
            match self.try_create(random_instance()?) {
                (slot, true) => slot.discard(),
                (slot, false) => return Ok(slot),
            }
        }
        // A place that is never found can never be made, such as one below /proc.
        Ok(self.try_create(random_instance()?).0)
    }

    /// Removes directories whose makers died before others could see them, and those whose heirs died before they
    /// were gone: neither has a file that says whose it is, and nothing is in them.
    pub fn remove_unfinished(&self) {
        let Ok(entries) = fs::read_dir(self.spool.join(&self.name)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_in_the_making = path.extension().is_some_and(|e| e == UNFINISHED_EXTENSION);
            let is_in_the_unmaking = name.is_some_and(|name| InstanceId::parse(name).is_some())
                && is_empty_but_for_the_lock(&path);
            // A living maker that has not come to lock it yet is refused the lock, and makes another one.
            if (is_in_the_making || is_in_the_unmaking)
                && let Ok(Some(_lock)) = SlotLock::acquire(&path)
            {
                let _left_for_the_next = remove_unused(&path);
            }
        }
    }

    /// Every slot of the name, whoever owns it.
    pub fn instances(&self) -> Vec<InstanceId> {
        let mut instances = instances_in(&self.spool.join(&self.name));
        instances.retain(|instance| !is_ring_directory_only(&self.spool_dir(*instance)));
        if self.ring != self.spool {
            let rings = instances_in(&self.ring.join(&self.name));
            instances
                .extend(rings.into_iter().filter(|instance| self.has_lost_its_spool(*instance)));
        }
        instances.sort_unstable();
        instances
    }

    /// Whether a slot of the name waits for somebody to take it over.
    pub fn has_dead(&self) -> bool {
        let is_dead = |instance: InstanceId| {
            let spool_dir = self.spool_dir(instance);
            self.may_be_adopted(instance) && !SlotLock::probe(&spool_dir).unwrap_or(false)
        };
        self.instances().into_iter().any(is_dead)
    }

    /// Bytes of spools that other slots of the name occupy, by their files.
    pub fn bytes_beside(&self, own: InstanceId) -> u64 {
        let others = instances_in(&self.spool.join(&self.name)).into_iter();
        let others = others.filter(|instance| *instance != own);
        others.map(|instance| spool::occupied_bytes(&self.spool_dir(instance))).sum()
    }

    /// Whether the spool of these rings was deleted: ours lies beside where it was, so that file system is there.
    fn has_lost_its_spool(&self, instance: InstanceId) -> bool {
        let spool_dir = self.spool_dir(instance);
        let recorded = read_bounded(&self.ring_dir(instance).join(SPOOL_DIR_FILE));
        recorded.is_ok_and(|text| Path::new(text.trim_end_matches('\n')) == spool_dir)
            && spool_dir.parent().is_some_and(Path::is_dir)
            && !spool_dir.exists()
    }

    /// Whether a slot is neither this process's own nor one that is being made.
    fn may_be_adopted(&self, instance: InstanceId) -> bool {
        // The kernel gives a process every record lock that the process itself holds, so another copy
        // of this library in it would not be stopped by ours: its slots are known by their owner's name.
        let spool_dir = self.spool_dir(instance);
        match read_slot_file(&spool_dir) {
            Ok((_, owner)) => owner != process::token(),
            // What others left there, and the quarantine, keep the directory, and wait for nobody.
            Err(_) => {
                !spool_dir.exists()
                    || holds_slot_files(&spool_dir)
                    || self.ring_dir(instance).join(ARENA_FILE).exists()
            }
        }
    }

    /// The ring directory that the slot's file names. Where the file is missing or spoiled, the rings are most
    /// likely where we would put them.
    fn recorded_ring_dir(&self, instance: InstanceId) -> PathBuf {
        let recorded = read_slot_file(&self.spool_dir(instance)).map(|(ring_dir, _)| ring_dir);
        let is_credible = |dir: &PathBuf| dir.ends_with(instance.to_string()) && dir.is_dir();
        recorded.ok().filter(is_credible).unwrap_or_else(|| self.ring_dir(instance))
    }

    /// Takes a slot over if its owner is dead. What cannot be read is left as it is.
    pub fn adopt(&self, instance: InstanceId) -> Option<Slot> {
        let spool_dir = self.spool_dir(instance);
        let own = process::token();
        if self.ring != self.spool && self.has_lost_its_spool(instance) {
            // Its rings are locked first: whoever has them may make the spool's directory again.
            let rings = SlotLock::acquire(&self.ring_dir(instance)).ok()??;
            file::create_private_directory(&spool_dir).ok()?;
            write_slot_file(&spool_dir, &self.ring_dir(instance), NOBODY).ok()?;
            drop(rings);
        }
        if !self.may_be_adopted(instance) {
            return None;
        }
        let ring_dir = self.recorded_ring_dir(instance);
        let spool_locks = vec![SlotLock::acquire(&spool_dir).ok()??];
        let ring_lock = match ring_dir != spool_dir && ring_dir.is_dir() {
            true => Some(SlotLock::acquire(&ring_dir).ok()??),
            false => None,
        };
        write_slot_file(&spool_dir, &ring_dir, &own).ok()?;
        Some(Slot { instance, ring_dir, spool_dir, owner: own, ring_lock, spool_locks })
    }

    /// The slot as far as it could be made; true where another process was in the way, so that another try helps.
    fn try_create(&self, instance: InstanceId) -> (Slot, bool) {
        let (ring_dir, spool_dir) = (self.ring_dir(instance), self.spool_dir(instance));
        let owner = process::token();
        let mut slot =
            Slot { instance, ring_dir, spool_dir, owner, ring_lock: None, spool_locks: Vec::new() };
        let spool = slot.make_spool_dir();
        let ring = match slot.ring_dir == slot.spool_dir {
            true => Ok(()),
            false => slot.make_ring_dir(),
        };
        crash_point(Point::SlotMade);
        // A sibling that cleans up behind the dead, or that closes and takes the name's empty directory along.
        let is_disturbance = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        let was_disturbed = [spool, ring].into_iter().any(|made| made.is_err_and(is_disturbance));
        (slot, was_disturbed)
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
        if !self.spool_locks.is_empty() && self.spool_dir.join(SLOT_FILE).exists() {
            return true;
        }
        self.make_spool_dir().is_ok()
    }

    fn make_ring_dir(&mut self) -> io::Result<()> {
        file::create_private_directory(&self.ring_dir)?;
        let lock = SlotLock::acquire(&self.ring_dir)?.ok_or(io::ErrorKind::NotFound)?;
        fs::write(self.ring_dir.join(SPOOL_DIR_FILE), format!("{}\n", self.spool_dir.display()))?;
        self.ring_lock = Some(lock);
        Ok(())
    }

    /// Under a name that no adopter looks for, then renamed: the lock stays with the file.
    fn make_spool_dir(&mut self) -> io::Result<()> {
        let fresh = self.spool_dir.with_extension(UNFINISHED_EXTENSION);
        file::create_private_directory(&fresh)?;
        // First the lock: whoever removes what was left unfinished holds it to the end.
        let lock = SlotLock::acquire(&fresh)?.ok_or(io::ErrorKind::NotFound)?;
        write_slot_file(&fresh, &self.ring_dir, &self.owner)?;
        fs::rename(&fresh, &self.spool_dir)?;
        self.spool_locks.push(lock);
        Ok(())
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

    /// Removes a slot that was never used: its owner could not start. A spool in it stays for an adopter.
    pub fn discard(self) {
        // What stays is removed by the next process of this name; the error that counts is why we did not start.
        let unfinished = self.spool_dir.with_extension(UNFINISHED_EXTENSION);
        let dirs = [&self.ring_dir, &self.spool_dir, &unfinished];
        let _left_for_the_next = dirs.map(|dir| remove_unused(dir));
    }

    /// Removes the slot after its spool's files were removed.
    ///
    /// The directory that others find the slot by goes last; one that holds anything unknown stays.
    pub fn remove(self) -> io::Result<()> {
        self.remove_arena()?;
        if self.ring_dir != self.spool_dir && self.ring_dir.is_dir() {
            remove_if_there(&self.ring_dir.join(SPOOL_DIR_FILE))?;
            remove_empty(&self.ring_dir)?;
        }
        remove_if_there(&self.spool_dir.join(SLOT_FILE))?;
        crash_point(Point::SlotEmptied);
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

/// Whether `dir` holds rings of a slot whose spool lies elsewhere: that is adopted from there, with the
/// positions that its spool tells.
fn is_ring_directory_only(dir: &Path) -> bool {
    let ring_files = [LOCK_FILE, ARENA_FILE, UNREADABLE_ARENA_FILE, SPOOL_DIR_FILE];
    let Ok(mut entries) = fs::read_dir(dir) else { return false };
    entries.all(|entry| entry.is_ok_and(|e| ring_files.iter().any(|file| e.file_name() == *file)))
}

fn random_instance() -> Result<InstanceId, SlotError> {
    let mut bytes = [0; 16];
    let source = Path::new("/dev/urandom");
    getrandom::fill(&mut bytes).map_err(io::Error::other).map_err(SlotError::at(source))?;
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
mod tests;
