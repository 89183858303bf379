//! What the batcher's and the sender's threads tell each other beside the spool: a few flags and the
//! spools of dead processes. Plain state behind atomics and one lock; nobody waits here.

use std::io;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use thiserror::Error;

use crate::ids::InstanceId;
use crate::pipeline::losses::Loss;
use crate::pipeline::losses::Losses;
use crate::pipeline::slots::Slot;
use crate::spool;

/// A spool whose batches are to be sent, with the slot that it lies in.
pub struct Source {
    /// Reads it.
    pub reader: spool::Reader,
    /// Its other half, needed to remove it; our own is the batcher's while that runs.
    pub writer: Option<spool::Writer>,
    /// Removed when the reader is drained, unless it is our own.
    pub slot: Slot,
}

impl Source {
    /// Removes spool and slot where everything in them has ended; otherwise leaves them for the next
    /// process of this name. True where they are gone.
    pub fn remove_drained(self) -> Result<bool, RemoveError> {
        let Source { mut reader, writer, slot } = self;
        let Some(writer) = writer else {
            reader.take_home();
            return Ok(false);
        };
        if !spool::remove_drained(writer, reader)? {
            return Ok(false);
        }
        slot.remove()?;
        Ok(true)
    }
}

/// Why a drained slot could not be removed; it is adopted and removed later.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// The spool's files.
    #[error(transparent)]
    Spool(#[from] spool::SpoolError),
    /// The slot's own files.
    #[error("cannot remove the slot: {0}")]
    Slot(#[from] io::Error),
}

/// See the module's head.
pub struct Handover {
    adopted: Mutex<Vec<Source>>,
    losses: Mutex<Losses>,
    space_wanted: AtomicBool,
    batcher_stops: AtomicBool,
    sender_stops: AtomicBool,
    adoption_done: AtomicBool,
    /// Adopted sources that were given and are not removed yet.
    adopted_slots: AtomicUsize,
}

impl Handover {
    /// Nothing to tell yet, for the process whose slot has this instance.
    pub fn new(own: InstanceId) -> Self {
        Self {
            adopted: Mutex::default(),
            losses: Mutex::new(Losses::new(own)),
            space_wanted: AtomicBool::new(false),
            batcher_stops: AtomicBool::new(false),
            sender_stops: AtomicBool::new(false),
            adoption_done: AtomicBool::new(false),
            adopted_slots: AtomicUsize::new(0),
        }
    }

    /// Gives the spool of a dead process to the sender.
    pub fn give(&self, source: Source) {
        // Relaxed: a bound on how many are open; the lock hands the source over.
        self.adopted_slots.fetch_add(1, Ordering::Relaxed);
        self.lock().push(source);
    }

    /// Adopted slots that are open.
    pub fn adopted_slots(&self) -> usize {
        // Relaxed: as in `give`.
        self.adopted_slots.load(Ordering::Relaxed)
    }

    /// An adopted slot was removed, or left for another try.
    pub fn note_adopted_removed(&self) {
        // Relaxed: as in `give`.
        self.adopted_slots.fetch_sub(1, Ordering::Relaxed);
    }

    /// The spools given since the last call.
    pub fn take(&self) -> Vec<Source> {
        std::mem::take(&mut self.lock())
    }

    /// The spool is full and its oldest batches are to give way.
    pub fn want_space(&self) {
        // Release: partner is `take_space_wanted`.
        self.space_wanted.store(true, Ordering::Release);
    }

    /// Whether space is wanted; forgets it.
    pub fn take_space_wanted(&self) -> bool {
        // AcqRel: partner is `want_space`.
        self.space_wanted.swap(false, Ordering::AcqRel)
    }

    /// Records were lost; the next group says so.
    pub fn add_loss(&self, loss: Loss) {
        self.losses().add(loss);
    }

    /// The losses, for the group that reports them.
    pub fn losses(&self) -> MutexGuard<'_, Losses> {
        // A poisoned lock guards a list that is valid at every step.
        self.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batcher seals what is there and ends.
    pub fn stop_batcher(&self) {
        // Release: partner is `batcher_stops`; records accepted before are visible to the last drain.
        self.batcher_stops.store(true, Ordering::Release);
    }

    /// Whether the batcher is to end.
    pub fn batcher_stops(&self) -> bool {
        // Acquire: partner is `stop_batcher`.
        self.batcher_stops.load(Ordering::Acquire)
    }

    /// The sender closes its connections and ends; what is not acknowledged stays stored.
    pub fn stop_sender(&self) {
        // Release: partner is `sender_stops`.
        self.sender_stops.store(true, Ordering::Release);
    }

    /// Whether the sender is to end.
    pub fn sender_stops(&self) -> bool {
        // Acquire: partner is `stop_sender`.
        self.sender_stops.load(Ordering::Acquire)
    }

    /// All slots of dead processes were looked at.
    pub fn finish_adoption(&self) {
        // Release: partner is `adoption_done`; what was given before is visible.
        self.adoption_done.store(true, Ordering::Release);
    }

    /// Whether all slots of dead processes were looked at.
    pub fn adoption_done(&self) -> bool {
        // Acquire: partner is `finish_adoption`.
        self.adoption_done.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Source>> {
        // A poisoned lock guards a list that is valid at every step.
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
