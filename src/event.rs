//! What happens behind the log calls, for a callback of the application: receivers come and go, records are
//! lost, the spool fills.
//!
//! Owns the kinds of events and the callback as a value. Knows neither who notices an event nor the thread that
//! calls the callback: that is `pipeline::notifier`.

use std::fmt;
use std::panic::RefUnwindSafe;
use std::panic::UnwindSafe;
use std::sync::Arc;

use crate::ids::InstanceId;

/// Something that happened, told after the fact. More kinds may come: match with a last arm `_`.
///
/// Nothing is derived from events: the figures of [`Client::stats`](crate::Client::stats) are exact without them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A lane to this receiver or broker is ready, for the first time or after [`Event::ReceiverDown`].
    ReceiverUp {
        /// `host:port` as resolved.
        address: String,
    },
    /// No lane to this receiver or broker is left, and the last one failed; or the name no longer resolves to it.
    /// Also told, once, of one that could not be reached in the first place. A lane that was moved by the
    /// rebinding rules is no failure.
    ReceiverDown {
        /// `host:port` as resolved.
        address: String,
    },
    /// Accepted records were lost, of this client's run or of an adopted slot. Ranges that touch are told as one;
    /// no record is told twice.
    Loss {
        /// The run that logged them.
        instance: InstanceId,
        /// Number of the first one, as `logdrive verify` prints it.
        first_record: u64,
        /// How many.
        count: u64,
        /// Why: a name as in `dropped` of the figures, or `damaged`.
        cause: &'static str,
    },
    /// The spool is full; what happens next is what `spool.full` says.
    SpoolFull,
    /// The spool has had room for a second after [`Event::SpoolFull`].
    SpoolHasRoom,
    /// The slot of a dead process of this `name` was taken over.
    SlotAdopted {
        /// The process's run that left it.
        instance: InstanceId,
        /// Records in it that wait to be acknowledged.
        stored: u64,
    },
}

/// What [`Config::on_event`](crate::Config::on_event) was given. Two are equal if they are the same one.
#[derive(Clone)]
pub struct EventCallback(Arc<dyn Fn(&Event) + Send + Sync>);

// Whoever calls it catches its panics and looks at nothing of its state; a client stays safe to use across
// `catch_unwind`, whatever the callback holds.
impl UnwindSafe for EventCallback {}
impl RefUnwindSafe for EventCallback {}

impl EventCallback {
    /// Wraps a function.
    pub fn new(callback: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    /// Calls it; a panic goes to the caller.
    pub fn call(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for EventCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventCallback")
    }
}

impl PartialEq for EventCallback {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
