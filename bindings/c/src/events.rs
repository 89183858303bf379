//! The event callback: a function of the host with its data, called on a thread of ours.
//!
//! Owns the structure that it is given. What may happen inside of the callback is the core's promise
//! (`Config::on_event`); only that no exception may leave it is C's.

use std::convert::Infallible;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_void;
use std::sync::Arc;

use logdrive_bindings::guard;
use logdrive_core::Event as CoreEvent;

use crate::handles;
use crate::handles::ConfigHandle;

/// An event of a kind that this header does not know; `text` describes it.
pub const LOGDRIVE_EVENT_OTHER: i32 = 0;
/// A lane to the receiver `text` is ready, for the first time or after it was down.
pub const LOGDRIVE_EVENT_RECEIVER_UP: i32 = 1;
/// The last lane to the receiver `text` failed, or it could not be reached in the first place.
pub const LOGDRIVE_EVENT_RECEIVER_DOWN: i32 = 2;
/// `count` accepted records from number `first_record` on were given up, for the reason `text`.
pub const LOGDRIVE_EVENT_LOSS: i32 = 3;
/// The spool is full; what happens next is what spool.full says.
pub const LOGDRIVE_EVENT_SPOOL_FULL: i32 = 4;
/// The spool has had room again for a second.
pub const LOGDRIVE_EVENT_SPOOL_HAS_ROOM: i32 = 5;
/// The files of the dead process `text` were taken over; `count` records in them wait.
pub const LOGDRIVE_EVENT_SLOT_ADOPTED: i32 = 6;

/// Something that happened behind the calls. Valid during the callback only.
#[repr(C)]
pub struct Event {
    /// sizeof(logdrive_event) as the library has it: members beyond it are not there.
    pub struct_size: u32,
    /// LOGDRIVE_EVENT_*; kinds may be added.
    pub kind: i32,
    /// Address, reason or process, as the kind says; NUL-terminated, never NULL.
    pub text: *const c_char,
    /// Of a loss: the number of the first record; else 0.
    pub first_record: u64,
    /// How many records, as the kind says; else 0.
    pub count: u64,
}

/// Is told of events. No exception may leave it.
pub type EventCallback = Option<unsafe extern "C" fn(event: *const Event, user_data: *mut c_void)>;

/// Frees what a callback was given.
pub type FreeUserData = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

struct Host {
    callback: EventCallback,
    user_data: *mut c_void,
    free_user_data: FreeUserData,
}

// SAFETY: the caller of `logdrive_config_on_event` promised that its functions and data may be used from any thread.
unsafe impl Send for Host {}
// SAFETY: as above; calls are one after the other per client, and several clients are the caller's promise too.
unsafe impl Sync for Host {}

impl Host {
    fn call(&self, event: &CoreEvent) {
        let (kind, text, first_record, count) = match event {
            CoreEvent::ReceiverUp { address } => {
                (LOGDRIVE_EVENT_RECEIVER_UP, address.clone(), 0, 0)
            }
            CoreEvent::ReceiverDown { address } => {
                (LOGDRIVE_EVENT_RECEIVER_DOWN, address.clone(), 0, 0)
            }
            CoreEvent::Loss { first_record, count, cause, .. } => {
                (LOGDRIVE_EVENT_LOSS, (*cause).to_owned(), *first_record, *count)
            }
            CoreEvent::SpoolFull => (LOGDRIVE_EVENT_SPOOL_FULL, String::new(), 0, 0),
            CoreEvent::SpoolHasRoom => (LOGDRIVE_EVENT_SPOOL_HAS_ROOM, String::new(), 0, 0),
            CoreEvent::SlotAdopted { instance, stored } => {
                (LOGDRIVE_EVENT_SLOT_ADOPTED, instance.to_string(), 0, *stored)
            }
            other => (LOGDRIVE_EVENT_OTHER, format!("{other:?}"), 0, 0),
        };
        // Neither addresses nor reasons have a NUL in them.
        let text = CString::new(text).unwrap_or_default();
        let struct_size = size_of::<Event>() as u32;
        let event = Event { struct_size, kind, text: text.as_ptr(), first_record, count };
        if let Some(callback) = self.callback {
            // SAFETY: the function and its data are valid until `free_user_data` by the caller's promise.
            unsafe { callback(&raw const event, self.user_data) };
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(free) = self.free_user_data {
            // SAFETY: called once, when nobody can call the callback any more; the caller's own function.
            unsafe { free(self.user_data) };
        }
    }
}

/// Has `callback` told of events by every client that is opened with this configuration, on a thread of its own
/// that exists only for this. NULL: by none any more.
///
/// The callback may block, log, ask for figures and close the client. While it runs, up to 1,024 events wait, further
/// ones are counted in the figures (events_lost). It is called in bursts, at most ten in a second. logdrive_close waits
/// for it until its deadline, at least a second for a call that is under way; no call begins after that.
/// A forked child calls it only once it has logged. It must neither throw nor longjmp: that ends the process.
///
/// `user_data` is passed on. `free_user_data` (may be NULL) is called once, on any thread, when configuration and
/// clients are freed, nobody is inside of the callback, and each thread that logged has ended or used another logger
/// since; also where this function fails.
///
/// # Safety
/// Both functions, and what they do with `user_data`, may be used on any thread, for as long as that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn logdrive_config_on_event(
    config: *mut ConfigHandle,
    callback: EventCallback,
    user_data: *mut c_void,
    free_user_data: FreeUserData,
) -> i32 {
    guard::code(|| {
        let host = Host { callback, user_data, free_user_data };
        let host = Arc::new(host);
        let changed = handles::change_config(config, |config| {
            let host = host.clone();
            match callback {
                Some(_) => config.on_event(move |event| host.call(event)),
                None => config.on_no_event(),
            }
            Ok::<(), Infallible>(())
        })?;
        let Ok(()) = changed;
        Ok(())
    })
}
