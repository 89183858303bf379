//! Which way of writing is safe where.

use std::path::Path;

use crate::sys::file::FileSystem;
use crate::sys::file::FileSystemKind;

/// How segment files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Through a mapping.
    Mapped,
    /// By `pwrite`.
    File,
}

impl StoreKind {
    /// The kind that is safe on the file system of `dir`; by `pwrite` where that cannot be told.
    pub fn suited_to(dir: &Path) -> StoreKind {
        // The directory itself may not exist yet; then its nearest ancestor tells.
        let system = dir.ancestors().find_map(|dir| FileSystem::of(dir).ok());
        match system.map(|system| system.kind) {
            Some(FileSystemKind::Tmpfs | FileSystemKind::Ext | FileSystemKind::Xfs) => {
                StoreKind::Mapped
            }
            Some(FileSystemKind::Btrfs | FileSystemKind::Overlay | FileSystemKind::Other(_))
            | None => StoreKind::File,
        }
    }

    /// Its word in the configuration and the statistics.
    pub const fn name(self) -> &'static str {
        match self {
            StoreKind::Mapped => "mmap",
            StoreKind::File => "file",
        }
    }
}
