//! Faults on purpose, for the fault suite only: a kill at a named step, a promise that is broken.
//!
//! Everything here is empty unless the crate is built with the feature `crash_points`, which only
//! `.ci/faults` does; `.ci/faults-absent` proves that a release build holds nothing of it. What is to go wrong
//! is read from the environment once: `LOGDRIVE_CRASH_AT=NAME` or `NAME:N` (at the N-th pass, from 1) and
//! `LOGDRIVE_CANARY=NAME`.

/// Declares an enum whose variants have names in the environment.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$what])* $variant,)* }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Its name in the environment.
            #[cfg(feature = "crash_points")]
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// Steps at which the process can be killed, each just done when it is passed.
    Point {
        /// The slot's directories, files and locks are there.
        SlotMade = "slot_made",
        /// The file of a new segment exists, empty.
        SegmentCreated = "segment_created",
        /// It has its blocks.
        SegmentAllocated = "segment_allocated",
        /// A segment to be used says that it holds nothing.
        SegmentEmptied = "segment_emptied",
        /// It has its new header.
        HeaderWritten = "header_written",
        /// It has its new name.
        SegmentNamed = "segment_named",
        /// Its name survives a power cut.
        DirectorySynced = "directory_synced",
        /// A group was copied behind `committed`.
        GroupCopied = "group_copied",
        /// `committed` covers it.
        GroupCommitted = "group_committed",
        /// The rings gave up the space of its records.
        RingsReleased = "rings_released",
        /// The sender can see it.
        GroupPublished = "group_published",
        /// A binding is written but for the word that makes it valid.
        HalfBound = "half_bound",
        /// A binding is stored, nothing is sent.
        Bound = "bound",
        /// An acknowledgement arrived and is stored.
        Acknowledged = "acknowledged",
        /// The ledger counts a segment as released.
        LedgerStored = "ledger_stored",
        /// A released segment's file is removed.
        SegmentRemoved = "segment_removed",
        /// A segment from memory lies on the disk, under the name of a new one.
        SegmentCopied = "segment_copied",
        /// A dead process's directory was read, nothing was changed.
        RecoveryRead = "recovery_read",
        /// A file of no use was removed or set aside by recovery.
        RecoveryCleaned = "recovery_cleaned",
        /// A dead process's slot is locked and ours.
        SlotAdopted = "slot_adopted",
        /// Records that a dead process left in its rings are committed.
        LeftoversCommitted = "leftovers_committed",
        /// The arena of a dead process is removed.
        ArenaRemoved = "arena_removed",
        /// The spool's files of a drained slot are removed.
        SpoolRemoved = "spool_removed",
        /// So is the file that says whose slot it was: its directory holds nothing but the lock.
        SlotEmptied = "slot_emptied",
    }
}

named! {
    /// Promises that can be broken, so that the fault suite shows that it would notice.
    Canary {
        /// A record is published without waiting for its bytes.
        ReleaseStore = "release_store",
        /// What is read back is believed whatever its checksum.
        Checksum = "checksum",
        /// A drop is not counted.
        Counter = "counter",
        /// A batch is sent before its binding is stored.
        BindBeforeSend = "bind_before_send",
        /// A child of a fork takes itself for its parent.
        ForkCheck = "fork_check",
        /// The name of a new segment is not made durable.
        DirectorySync = "directory_sync",
    }
}

/// Ends the process by SIGKILL if that was ordered for this pass of `point`.
#[cfg(not(feature = "crash_points"))]
#[inline(always)]
pub fn crash_point(_point: Point) {}

/// Whether `canary` was ordered to be broken.
#[cfg(not(feature = "crash_points"))]
#[inline(always)]
pub fn is_broken(_canary: Canary) -> bool {
    false
}

#[cfg(feature = "crash_points")]
pub use enabled::crash_point;
#[cfg(feature = "crash_points")]
pub use enabled::is_broken;

#[cfg(feature = "crash_points")]
mod enabled {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;

    use super::Canary;
    use super::Point;

    struct Orders {
        crash_at: Option<(Point, u32)>,
        canary: Option<Canary>,
    }

    static ORDERS: OnceLock<Orders> = OnceLock::new();
    static PASSES: AtomicU32 = AtomicU32::new(0);

    fn orders() -> &'static Orders {
        ORDERS.get_or_init(|| {
            let crash_at = std::env::var("LOGDRIVE_CRASH_AT").ok().map(|order| {
                let (name, pass) = order.split_once(':').unwrap_or((&order, "1"));
                let point = Point::ALL.iter().find(|point| point.name() == name);
                (*point.expect("a known step"), pass.parse().expect("the number of a pass"))
            });
            let canary = std::env::var("LOGDRIVE_CANARY").ok().map(|name| {
                *Canary::ALL.iter().find(|canary| canary.name() == name).expect("a known canary")
            });
            Orders { crash_at, canary }
        })
    }

    pub fn crash_point(point: Point) {
        let Some((ordered, pass)) = orders().crash_at else { return };
        // Relaxed: one count, nothing is published by it.
        if ordered == point && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == pass {
            // SAFETY: sends a signal to this very process; no memory is touched.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            // The signal is on its way, perhaps to another thread: nothing may follow.
            loop {
                std::thread::park();
            }
        }
    }

    pub fn is_broken(canary: Canary) -> bool {
        orders().canary == Some(canary)
    }
}
