//! Figures as a structure, and as JSON.

use std::ffi::c_char;

use logdrive_bindings::guard;
use logdrive_core::Code;
use logdrive_core::Snapshot;

use crate::arguments;
use crate::arguments::TextBuffer;
use crate::handles;
use crate::handles::ClientHandle;
use crate::stats_json;

/// What happened so far. Exact at rest, after a flush that returned LOGDRIVE_OK:
/// accepted = delivered + unconfirmed + dropped + damaged + stored. The instance, as `logdrive verify --expect`
/// wants it, is in the JSON.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Stats {
    /// To be set to sizeof(logdrive_stats) before the call; the library fills so much of it.
    pub struct_size: u32,
    /// Percent of the rings in use.
    pub arena_used_percent: u32,
    /// Bytes of the rings.
    pub arena_bytes: u64,
    /// Records accepted, as far as they were read from the rings.
    pub accepted: u64,
    /// Records refused at the call; the reasons are in the JSON.
    pub refused: u64,
    /// Records acknowledged.
    pub delivered: u64,
    /// Records sent where no acknowledgement will ever come.
    pub unconfirmed: u64,
    /// Records given up after they were accepted; the reasons are in the JSON.
    pub dropped: u64,
    /// Records whose stored bytes were found unreadable.
    pub damaged: u64,
    /// Records that wait to be acknowledged, those of adopted earlier runs included.
    pub stored: u64,
    /// Bytes of them.
    pub stored_bytes: u64,
    /// Bytes of texts as the application gave them.
    pub bytes_in: u64,
    /// Bytes of acknowledged batches on the wire.
    pub bytes_wire: u64,
    /// Attempts beyond the first to send a batch.
    pub retries: u64,
    /// Receivers that are connected now.
    pub receivers_connected: u64,
    /// Defects of logdrive that were caught, in its threads and at its boundary; worth a report.
    pub panics: u64,
    /// Events that the callback was not told of: it was too slow, or the client was closed meanwhile.
    pub events_lost: u64,
}

impl Stats {
    fn new(snapshot: &Snapshot) -> Self {
        let sender = &snapshot.sender;
        let connected = sender.receivers.iter().filter(|receiver| receiver.is_connected).count();
        Self {
            struct_size: size_of::<Stats>() as u32,
            arena_used_percent: u32::from(snapshot.arena_used_percent),
            arena_bytes: snapshot.arena_bytes,
            accepted: snapshot.accepted,
            refused: snapshot.refused_total(),
            delivered: sender.delivered,
            unconfirmed: sender.unconfirmed,
            dropped: snapshot.dropped_total(),
            damaged: sender.damaged,
            stored: sender.stored,
            stored_bytes: sender.stored_bytes,
            bytes_in: snapshot.bytes_in,
            bytes_wire: sender.bytes_wire,
            retries: sender.retries,
            receivers_connected: connected as u64,
            panics: snapshot.panics + guard::caught(),
            events_lost: snapshot.events_lost,
        }
    }
}

/// Reads the figures. Takes a lock and allocates: not for the call path.
///
/// A structure of an older header gets the members it knows; of a newer one, what this library does not
/// know is zero. Its struct_size stays as it was.
///
/// # Safety
/// `stats` points to as many bytes as its struct_size says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_get_stats(client: *mut ClientHandle, stats: *mut Stats) -> i32 {
    guard::code(|| {
        if stats.is_null() {
            return Err(Code::InvalidArgument);
        }
        // SAFETY: not NULL; every version begins with the size.
        let size = unsafe { (&raw const (*stats).struct_size).read_unaligned() };
        let bytes = size as usize;
        if !(OLDEST_STATS_BYTES..=arguments::STRUCT_BYTES_MAX).contains(&bytes) {
            return Err(Code::InvalidArgument);
        }
        let snapshot = handles::client(client)?.client.stats();
        let known = Stats { struct_size: size, ..Stats::new(&snapshot) };
        let common = bytes.min(size_of::<Stats>());
        let target = stats.cast::<u8>();
        // SAFETY: `target` has `bytes` bytes by the caller's promise, and `common` is at most that and ours.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const known).cast::<u8>(), target, common);
            std::ptr::write_bytes(target.add(common), 0, bytes - common);
        }
        Ok(())
    })
}

/// Bytes of the structure in the first header.
const OLDEST_STATS_BYTES: usize = 120;
const _: () = assert!(size_of::<Stats>() >= OLDEST_STATS_BYTES);

/// Writes the figures as one JSON object, with reasons and per receiver, NUL-terminated.
///
/// `*needed` (may be NULL) gets the size of the buffer that holds it, its NUL included. Where `size` is smaller,
/// LOGDRIVE_RECORD_TOO_LARGE and the empty text; `buffer` may then be NULL, to ask for the size.
///
/// # Safety
/// `buffer` has `size` bytes; `needed` is NULL or points to a size_t.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_get_stats_json(
    client: *mut ClientHandle,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> i32 {
    guard::code(|| {
        let json = stats_json::write(&handles::client(client)?.client.stats(), guard::caught());
        if !needed.is_null() {
            // SAFETY: promised by the caller.
            unsafe { arguments::store(needed, json.len() + 1)? };
        }
        // SAFETY: promised by the caller.
        let target = unsafe { TextBuffer::new(buffer, size) };
        if buffer.is_null() || size <= json.len() {
            target.put("");
            return Err(Code::RecordTooLarge);
        }
        target.put(&json);
        Ok(())
    })
}
