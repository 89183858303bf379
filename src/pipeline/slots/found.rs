//! Slots that others own, for whoever wants to see them: what is there, and whether its process runs.
//!
//! Only looks: takes no lock, changes nothing.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::ids::InstanceId;
use crate::pipeline::slots::ARENA_FILE;
use crate::pipeline::slots::Roots;
use crate::sys::lock::SlotLock;

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
}
