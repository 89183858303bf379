//! The pipeline: the only module that knows that there is more than one stage, and the only one that starts
//! threads.
//!
//! ```text
//! Registry/Producer -> [rings] -> Batcher -> Workers -> [spool] -> Sender -> lanes
//!                                    ^---- Handover, Gate, Counters ----^
//! ```
//!
//! Two threads (`logdrive-batch`, `logdrive-send`), more with `workers` > 1, and a short-lived one while names are
//! resolved. [`Pipeline::start`] wires them, [`Pipeline::begin_stop`] ends them; what is not delivered by then stays in
//! the slot and is adopted by the next process of the same name.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;

use crate::batch::LevelError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::config::SpoolSync;
use crate::pipeline::adopt::Adoption;
use crate::pipeline::batcher::Batcher;
use crate::pipeline::batcher::Links;
use crate::pipeline::encode::Encoder;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::sender::Sender;
use crate::pipeline::slots::Roots;
use crate::pipeline::slots::Slot;
use crate::pipeline::slots::SlotError;
use crate::pipeline::stop::FlushRequest;
use crate::pipeline::stop::Stopping;
use crate::pipeline::workers::Workers;
use crate::ring;
use crate::ring::Arena;
use crate::ring::Refusal;
use crate::ring::Registry;
use crate::spool;
use crate::spool::SpoolError;
use crate::stats::Counters;
use crate::stats::Snapshot;
use crate::sys::file::FileSystem;
use crate::sys::mapping::Mapping;
use crate::sys::memory;
use crate::transport::Poller;
use crate::transport::Waker;

mod adopt;
mod batcher;
mod commit;
mod dead_letters;
pub mod encode;
mod gate;
mod handover;
mod losses;
pub mod mapping;
mod placement;
mod sender;
pub mod slots;
mod stop;
mod supervise;
mod workers;

pub use crate::pipeline::dead_letters::DEAD_LETTERS_DIR;
pub use crate::pipeline::dead_letters::REJECTED_HEADER;

const MIB: u64 = 1 << 20;
/// The arena by default: min(32 MiB, a quarter of the free tmpfs, a sixteenth of the memory limit).
const ARENA_BYTES_MAX: u64 = 32 * MIB;
/// Below this an arena is of no use; a smaller share of what is free is rounded up to it.
const ARENA_BYTES_MIN: u64 = MIB;
/// The spool by default, where it lies in memory: min(64 MiB, half of what is free).
const MEMORY_SPOOL_BYTES_MAX: u64 = 64 * MIB;
/// The spool by default, on a disk.
const DISK_SPOOL_BYTES: u64 = 1024 * MIB;

/// Why a pipeline was not started; nothing is left running.
#[derive(Debug, Error)]
pub enum StartError {
    /// No slot could be made.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// No spool could be made.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The codec's level is out of its range.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The system refused a thread, a descriptor or memory.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}

/// See the module's head.
pub struct Pipeline {
    registry: Arc<Registry>,
    clock: Clock,
    gate: Arc<Gate>,
    handover: Arc<Handover>,
    counters: Arc<Counters>,
    sender_waker: Waker,
    arena_is_private: bool,
    threads: Option<(JoinHandle<BatcherThread>, JoinHandle<Sender>)>,
}

/// What the batcher's thread owns: first the slots of the dead, then the loop.
struct BatcherThread {
    batcher: Batcher,
    adoption: Option<Adoption>,
}

impl Pipeline {
    /// Makes the slot, maps the arena, opens the spool, starts the threads. Touches the disk, not the network.
    pub fn start(settings: Arc<Settings>, clock: Clock) -> Result<Self, StartError> {
        let roots = Roots::new(
            settings.ring.dir.as_deref(),
            settings.spool.dir.as_deref(),
            &settings.client.name,
        );
        let slot = roots.create()?;
        let (arena, ring_options, arena_is_private) = make_arena(&slot, &settings)?;
        let arena = Arc::new(arena);
        let spool_options = spool_options(&slot, &settings)?;
        let instance = slot.instance();
        let (writer, reader) = spool::create(slot.spool_dir(), instance, &spool_options)?;
        let poller = Poller::new().map_err(StartError::io("watch sockets"))?;
        let sender_waker = poller.waker();
        let encode = encode::Options::new(instance, &settings);
        let placement = encode.placement.clone();
        let (gate, handover, counters) =
            (Arc::<Gate>::default(), Arc::<Handover>::default(), Arc::<Counters>::default());
        let workers = start_workers(&encode, settings.batch.workers, &counters)?;
        let batcher = Batcher::new(batcher::Parts {
            arena: arena.clone(),
            writer,
            workers,
            links: Links {
                gate: gate.clone(),
                handover: handover.clone(),
                counters: counters.clone(),
                sender: sender_waker.clone(),
            },
            clock,
            settings: encode.batch.clone(),
            placement: placement.clone(),
            spool_full: settings.spool.full,
        });
        let adoption = Adoption {
            roots,
            options: adopt::Options::new(encode, spool_options, ring_options),
            clock,
            handover: handover.clone(),
            counters: counters.clone(),
            sender: sender_waker.clone(),
        };
        let sender = Sender::new(sender::Parts {
            own: Source { reader, writer: None, slot },
            placement,
            settings,
            clock,
            poller,
            gate: gate.clone(),
            handover: handover.clone(),
            counters: counters.clone(),
            seed: u64::from_le_bytes(instance.0[..8].try_into().unwrap_or_default()),
        });
        let batcher = BatcherThread { batcher, adoption: Some(adoption) };
        let mut pipeline = Self {
            registry: Arc::new(Registry::new(arena)),
            clock,
            gate,
            handover,
            counters,
            sender_waker,
            arena_is_private,
            threads: None,
        };
        pipeline.start_threads(batcher, sender)?;
        Ok(pipeline)
    }

    fn start_threads(&mut self, batcher: BatcherThread, sender: Sender) -> Result<(), StartError> {
        let counters = &self.counters;
        let sender = supervise::start("logdrive-send", counters.clone(), sender, Sender::run)
            .map_err(StartError::io("start the sender's thread"))?;
        let started =
            supervise::start("logdrive-batch", counters.clone(), batcher, BatcherThread::run);
        let batcher = started.map_err(|error| {
            self.handover.stop_sender();
            self.sender_waker.wake();
            StartError::io("start the batcher's thread")(error)
        })?;
        self.threads = Some((batcher, sender));
        Ok(())
    }

    /// Hands each thread its producer.
    #[inline(always)]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Asks for everything accepted so far to be sealed; the request is waited for without the pipeline.
    pub fn request_flush(&self) -> FlushRequest {
        FlushRequest::new(&self.gate, self.registry.arena())
    }

    /// The figures as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let arena = self.registry.arena();
        let batch = &self.counters.batch;
        Snapshot {
            accepted: batch.drained.value(),
            loss_reports: batch.loss_reports.value(),
            refused: Refusal::ALL
                .into_iter()
                .map(|reason| (reason.name(), arena.refused(reason)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            bytes_in: batch.bytes_in.value(),
            bytes_sealed: batch.bytes_out.value(),
            malformed: batch.malformed.value(),
            panics: batch.panics.value(),
            spool_full: batch.spool_full.value(),
            spool_errors: batch.spool_errors.value(),
            spool_damages: batch.spool_damages.value(),
            dead_letters_lost: batch.dead_letters_lost.value(),
            arena_bytes: arena.bytes() as u64,
            arena_used_percent: (arena.used_share() * 100.0) as u8,
            arena_is_private: self.arena_is_private,
            sender: self.counters.sender().clone(),
        }
    }

    /// Whether the slots of dead processes were all looked at, so that `stored` includes them.
    pub fn adoption_done(&self) -> bool {
        self.counters.sender().adoption_done
    }

    /// Refuses new records from now on; the rest of the end takes its time and is [`Stopping::finish`].
    /// None where it was begun before.
    pub fn begin_stop(&mut self) -> Option<Stopping> {
        let (batcher, sender) = self.threads.take()?;
        self.registry.close();
        Some(Stopping {
            batcher,
            sender,
            registry: self.registry.clone(),
            clock: self.clock,
            gate: self.gate.clone(),
            handover: self.handover.clone(),
            sender_waker: self.sender_waker.clone(),
        })
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Left running where it was not stopped. In a forked child these are the parent's threads, whose
        // handles must not even be dropped: their stacks belong to threads of the child by now.
        std::mem::forget(self.threads.take());
    }
}

impl BatcherThread {
    fn run(&mut self) {
        if let Some(adoption) = self.adoption.take() {
            adoption.run();
        }
        self.batcher.run();
    }
}

fn start_workers(
    encode: &encode::Options,
    count: u32,
    counters: &Arc<Counters>,
) -> Result<Workers, StartError> {
    let encoders =
        (0..count).map(|_| Encoder::new(encode.clone())).collect::<Result<Vec<_>, _>>()?;
    Workers::start(encoders, counters.clone()).map_err(StartError::io("start a worker thread"))
}

/// Maps the arena in the slot; in private memory where the file system refuses, which shows in the stats.
fn make_arena(
    slot: &Slot,
    settings: &Settings,
) -> Result<(Arena, ring::Options, bool), StartError> {
    let bytes = settings.ring.bytes_max.unwrap_or_else(|| automatic_arena_bytes(slot));
    let options = ring::Options {
        bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        threads_max: settings.ring.threads_max,
        reserve_percent: settings.ring.reserve_percent,
        record_bytes_max: usize::try_from(settings.ring.record_bytes_max).unwrap_or(usize::MAX),
    };
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

fn spool_options(slot: &Slot, settings: &Settings) -> Result<spool::Options, StartError> {
    let segment_bytes = settings.spool.segment_bytes;
    let bytes_max = match settings.spool.bytes_max {
        Some(bytes_max) => bytes_max,
        None => {
            let system = FileSystem::of(slot.spool_dir())
                .map_err(StartError::io("look at the spool's file system"))?;
            if system.is_tmpfs() {
                MEMORY_SPOOL_BYTES_MAX.min(system.free_bytes / 2)
            } else {
                DISK_SPOOL_BYTES
            }
        }
    };
    Ok(spool::Options {
        segment_bytes,
        bytes_max: bytes_max.max(2 * segment_bytes),
        sync: match settings.spool.sync {
            SpoolSync::None => spool::Sync::None,
            SpoolSync::Batch => spool::Sync::Batch,
            SpoolSync::Interval(interval) => spool::Sync::Interval(interval),
        },
    })
}
