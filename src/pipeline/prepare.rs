//! What a pipeline takes of memory and disk before it runs: the arena, and the bounds of the spool.
//!
//! Owns the automatic sizes. Invariant: what is mapped or allowed here is all that a client ever takes.

use crate::config::Settings;
use crate::config::SpoolStore;
use crate::config::SpoolSync;
use crate::pipeline::StartError;
use crate::pipeline::slots::Slot;
use crate::record;
use crate::ring;
use crate::ring::Arena;
use crate::spool;
use crate::sys::file::FileSystem;
use crate::sys::mapping::Mapping;
use crate::sys::memory;

const MIB: u64 = 1 << 20;
/// The arena by default: min(16 MiB, a quarter of the free tmpfs, a sixteenth of the memory limit).
pub const ARENA_BYTES_MAX: u64 = 16 * MIB;
/// Below this an arena is of no use; a smaller share of what is free is rounded up to it.
const ARENA_BYTES_MIN: u64 = MIB;
/// The spool by default, where it lies in memory: min(64 MiB, half of what is free).
const MEMORY_SPOOL_BYTES_MAX: u64 = 64 * MIB;
/// The spool by default, on a disk.
const DISK_SPOOL_BYTES: u64 = 1024 * MIB;
/// Segments in memory by default, while the disk refuses files: max(16 MiB, two segments).
const MEMORY_MODE_BYTES: u64 = 16 * MIB;

/// Maps the arena in the slot; in private memory where the file system refuses, which shows in the stats.
pub fn make_arena(
    slot: &Slot,
    settings: &Settings,
) -> Result<(Arena, ring::Options, bool), StartError> {
    let bytes = settings.ring.bytes_max.unwrap_or_else(|| automatic_arena_bytes(slot));
    let options = ring_options(settings, bytes);
    let description = Arena::layout(&options, slot.instance());
    let bytes = description.arena_bytes() as u64;
    let (mapping, is_private) = match Mapping::create(&slot.arena_path(), bytes) {
        Ok(mapping) => (mapping, false),
        Err(_refused) => {
            let private = Mapping::anonymous(bytes).map_err(StartError::io("map the rings"))?;
            (private, true)
        }
    };
    Ok((Arena::create(mapping, description, &options), options, is_private))
}

/// The bounds of an arena of so many bytes.
pub fn ring_options(settings: &Settings, bytes: u64) -> ring::Options {
    let record_bytes_max = usize::try_from(settings.ring.record_bytes_max).unwrap_or(usize::MAX);
    ring::Options {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        threads_max: settings.ring.threads_max,
        reserve_percent: settings.ring.reserve_percent,
        // The option counts what the application gave.
        record_bytes_max: record_bytes_max.saturating_add(record::HEAD_BYTES),
    }
}

fn automatic_arena_bytes(slot: &Slot) -> u64 {
    let arena_path = slot.arena_path();
    let dir = arena_path.parent().unwrap_or(&arena_path);
    let free = FileSystem::of(dir).map_or(u64::MAX, |system| match system.total_bytes {
        0 => u64::MAX,
        _limited => system.free_bytes,
    });
    let limit = memory::limit_bytes().unwrap_or(u64::MAX);
    ARENA_BYTES_MAX.min(free / 4).min(limit / 16).max(ARENA_BYTES_MIN)
}

/// The bounds of the spool; as large as fits where the user did not say.
pub fn spool_options(slot: &Slot, settings: &Settings) -> spool::Options {
    let segment_bytes = settings.spool.segment_bytes;
    let bytes_max = match settings.spool.bytes_max {
        Some(bytes_max) => bytes_max,
        // A directory that cannot be made yet is on a disk: nobody asks for one on tmpfs that is read-only.
        None => match FileSystem::of(slot.spool_dir()) {
            Ok(system) if system.is_tmpfs() => MEMORY_SPOOL_BYTES_MAX.min(system.free_bytes / 2),
            Ok(_) | Err(_) => DISK_SPOOL_BYTES,
        },
    };
    spool::Options {
        segment_bytes,
        bytes_max: bytes_max.max(2 * segment_bytes),
        sync: match settings.spool.sync {
            SpoolSync::None => spool::Sync::None,
            SpoolSync::Batch => spool::Sync::Batch,
            SpoolSync::Interval(interval) => spool::Sync::Interval(interval),
        },
        store: match settings.spool.store {
            SpoolStore::Auto => None,
            SpoolStore::Mmap => Some(spool::StoreKind::Mapped),
            SpoolStore::File => Some(spool::StoreKind::File),
        },
        memory_bytes_max: settings
            .spool
            .memory_bytes_max
            .unwrap_or_else(|| MEMORY_MODE_BYTES.max(2 * segment_bytes)),
    }
}
