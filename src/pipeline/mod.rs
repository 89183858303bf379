//! The pipeline: the only module that knows that there is more than one stage, and the only one that starts
//! threads.
//!
//! ```text
//! Registry/Producer -> [rings] -> Batcher -> Workers -> [spool] -> Sender -> lanes
//!                                    ^---- Handover, Gate, Counters ----^
//! ```
//!
//! Two threads (`logdrive-batch`, `logdrive-send`), more with `workers` > 1, and a short-lived one while names are
//! resolved. [`Pipeline::start`] wires them, the first record starts them, [`Pipeline::begin_stop`] ends them;
//! what is not delivered by then stays in the slot and is adopted by the next process of the same name.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::batch::LevelError;
use crate::clock::Clock;
use crate::config::Settings;
use crate::ids::InstanceId;
use crate::pipeline::adoption::Adoption;
use crate::pipeline::batcher::Batcher;
use crate::pipeline::batcher::Links;
use crate::pipeline::credentials::CredentialsError;
use crate::pipeline::credentials::Watch;
use crate::pipeline::encode::Encoder;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::pressure::Pressure;
use crate::pipeline::sender::Refusals;
use crate::pipeline::sender::Sender;
use crate::pipeline::slots::Roots;
use crate::pipeline::slots::Slot;
use crate::pipeline::slots::SlotError;
use crate::pipeline::stop::FlushRequest;
use crate::pipeline::stop::Stopping;
use crate::pipeline::threads::Threads;
use crate::pipeline::workers::Workers;
use crate::ring;
use crate::ring::Arena;
use crate::ring::Refusal;
use crate::ring::Registry;
use crate::spool;
use crate::spool::SpoolError;
use crate::stats::Counters;
use crate::stats::Snapshot;
use crate::sys::guard;
use crate::transport::Poller;
use crate::transport::Waker;

mod adopt;
mod adoption;
mod batcher;
mod commit;
mod credentials;
mod dead_letters;
pub mod encode;
mod fullness;
mod gate;
mod handover;
mod losses;
pub mod mapping;
mod notifier;
mod placement;
mod prepare;
mod pressure;
pub mod relay;
mod sender;
pub mod slots;
mod stop;
mod supervise;
mod threads;
mod workers;

pub use crate::pipeline::dead_letters::DEAD_LETTERS_DIR;
pub use crate::pipeline::dead_letters::REJECTED_HEADER;

/// Why a pipeline was not started; nothing is left running.
#[derive(Debug, Error)]
pub enum StartError {
    /// No slot could be made.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// No spool could be made.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Certificates, passwords or tokens cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
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
    /// As tools print it.
    instance: String,
    registry: Arc<Registry>,
    clock: Clock,
    gate: Arc<Gate>,
    handover: Arc<Handover>,
    counters: Arc<Counters>,
    sender_waker: Waker,
    arena_is_private: bool,
    spool: (spool::StoreKind, Arc<spool::Condition>),
    notifier: Notifier,
    threads: Arc<Threads>,
}

/// All that can fail when a pipeline is made.
struct Stores {
    encode: encode::Options,
    encoders: Vec<Encoder>,
    poller: Poller,
    credentials: Watch,
    arena: Arc<Arena>,
    ring: ring::Options,
    arena_is_private: bool,
    spool: (spool::Options, spool::Writer, spool::Reader),
}

impl Stores {
    /// In the order in which a failure leaves the least: the spool's files come last.
    fn make(slot: &Slot, settings: &Settings) -> Result<Self, StartError> {
        let encode = encode::Options::new(slot.instance(), settings);
        let encoders = (0..settings.batch.workers)
            .map(|_| Encoder::new(encode.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let poller = Poller::new().map_err(StartError::io("watch sockets"))?;
        let credentials = Watch::start(settings, poller.waker())?;
        let spool_options = prepare::spool_options(slot, settings);
        let (arena, ring, arena_is_private) = prepare::make_arena(slot, settings)?;
        let (writer, reader) = spool::create(slot.spool_dir(), slot.instance(), &spool_options)?;
        let spool = (spool_options, writer, reader);
        let arena = Arc::new(arena);
        Ok(Self { encode, encoders, poller, credentials, arena, ring, arena_is_private, spool })
    }
}

/// What the batcher's thread owns: the loop, and between its rounds the slots of the dead.
struct BatcherThread {
    batcher: Batcher,
    adoption: Adoption,
}

/// Whether there is a place for a slot: makes an empty one and removes it. Starts nothing.
pub fn probe(settings: &Settings) -> Result<(), StartError> {
    let slot = roots(settings).create()?;
    // One that cannot be removed is empty, and removed by the next process of the name.
    let _left_behind = slot.remove();
    Ok(())
}

fn roots(settings: &Settings) -> Roots {
    let (ring, spool) = (&settings.ring, &settings.spool);
    Roots::new(ring.dir.as_deref(), spool.dir.as_deref(), &settings.client.name)
}

/// What connects the stages, all of it empty yet.
fn links(settings: &Settings, sender: &Waker, own: InstanceId) -> Links {
    let counters = Arc::<Counters>::default();
    Links {
        gate: Arc::default(),
        handover: Arc::new(Handover::new(own)),
        counters: counters.clone(),
        sender: sender.clone(),
        notifier: Notifier::new(settings.on_event.clone(), counters),
    }
}

fn adoption(
    settings: &Settings,
    roots: Roots,
    options: adopt::Options,
    clock: Clock,
    links: &Links,
) -> Adoption {
    let Links { handover, counters, sender, notifier, .. } = links.clone();
    Adoption::new(adoption::Parts {
        roots,
        options,
        interval: settings.spool.adoption_interval,
        slots_max: settings.spool.adoption_slots_max as usize,
        clock,
        handover,
        counters,
        sender,
        notifier,
    })
}

impl Pipeline {
    /// Makes the slot, maps the arena, opens the spool. Touches the disk, not the network.
    ///
    /// Threads start with the first record (see `threads`), or now where dead processes of the name left something.
    /// Where this fails nothing is left behind.
    pub fn start(settings: Arc<Settings>, clock: Clock) -> Result<Self, StartError> {
        settings.spool.sigbus_guard.then(guard::install);
        let roots = roots(&settings);
        let slot = roots.create()?;
        match Stores::make(&slot, &settings) {
            Ok(stores) => Ok(Self::assemble(settings, clock, roots, slot, stores)),
            Err(error) => {
                slot.discard();
                Err(error)
            }
        }
    }

    fn assemble(
        settings: Arc<Settings>,
        clock: Clock,
        roots: Roots,
        slot: Slot,
        stores: Stores,
    ) -> Self {
        let Stores { encode, encoders, poller, credentials, .. } = stores;
        let Stores { arena, ring, arena_is_private, spool, .. } = stores;
        let (spool_options, writer, reader) = spool;
        let spool_state = (writer.store(), writer.condition());
        let sender_waker = poller.waker();
        let placement = encode.placement.clone();
        let instance = slot.instance();
        let links = links(&settings, &sender_waker, instance);
        let Links { gate, handover, counters, notifier, .. } = links.clone();
        let policy = settings.spool.full;
        let batcher = Batcher::new(batcher::Parts {
            arena: arena.clone(),
            writer,
            workers: Workers::new(encoders, counters.clone()),
            links: links.clone(),
            clock,
            settings: encode.batch.clone(),
            placement: placement.clone(),
            pressure: Pressure::new(arena.clone(), roots.clone(), policy),
        });
        let has_heritage = roots.has_dead();
        let options = adopt::Options::new(encode, spool_options, ring);
        let adoption = adoption(&settings, roots, options, clock, &links);
        let sender = Sender::new(sender::Parts {
            refusals: Refusals::Divided,
            own: Source { reader, writer: None, slot },
            arena: Some(arena.clone()),
            placement,
            settings,
            clock,
            poller,
            credentials,
            gate: gate.clone(),
            handover: handover.clone(),
            counters: counters.clone(),
            notifier: notifier.clone(),
        });
        let batcher = BatcherThread { batcher, adoption };
        let threads =
            Arc::new(Threads::new(batcher, sender, notifier.clone(), counters.clone(), clock));
        let registry = Registry::with_starter(arena, threads.starter());
        if has_heritage {
            // Where they cannot be started now, the first record tries again.
            threads.start();
        }
        Self {
            instance: instance.to_string(),
            registry: Arc::new(registry),
            clock,
            gate,
            handover,
            counters,
            sender_waker,
            arena_is_private,
            spool: spool_state,
            notifier,
            threads,
        }
    }

    /// Hands each thread its producer.
    #[inline(always)]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Asks for everything accepted so far to be sealed; the request is waited for without the pipeline.
    pub fn request_flush(&self) -> FlushRequest {
        let arena = self.registry.arena();
        if arena.has_rings() {
            // Where they cannot be started, the wait ends with its deadline.
            self.threads.start();
        } else if self.threads.are_parked() {
            return FlushRequest::of_nothing(&self.gate);
        }
        FlushRequest::new(&self.gate, arena)
    }

    /// The figures as they are now.
    pub fn snapshot(&self) -> Snapshot {
        let arena = self.registry.arena();
        let batch = &self.counters.batch;
        // First: what is committed meanwhile counts twice for a moment rather than not at all.
        let committed = batch.committed.value();
        let accepted = batch.drained.value() + batch.waiting.value();
        let mut sender = self.counters.sender().clone();
        sender.stored += accepted.saturating_sub(committed);
        // As the sender said it in one breath with `stored`: asked for again it may be true of more than these figures.
        sender.adoption_done |= self.threads.are_parked();
        Snapshot {
            instance: self.instance.clone(),
            accepted,
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
            events_lost: self.counters.events.lost.value(),
            callback_panics: self.counters.events.panics.value(),
            spool_full: batch.spool_full.value(),
            spool_errors: batch.spool_errors.value(),
            spool_damages: batch.spool_damages.value(),
            dead_letters_lost: batch.dead_letters_lost.value(),
            arena_bytes: arena.bytes() as u64,
            arena_used_percent: (arena.used_share() * 100.0) as u8,
            arena_is_private: self.arena_is_private,
            arena_is_lost: self.registry.arena().is_lost(),
            spool_store: self.spool.0.name(),
            spool_memory_mode: self.spool.1.is_memory_mode(),
            spool_memory_entries: self.spool.1.memory_entries(),
            spool_memory_bytes: self.spool.1.memory_bytes(),
            spool_segments_rehomed: self.spool.1.segments_rehomed(),
            sender,
        }
    }

    /// Whether the slots of dead processes were all looked at, so that `stored` includes them.
    pub fn adoption_done(&self) -> bool {
        // Without threads there was nothing to adopt.
        self.threads.are_parked() || self.counters.sender().adoption_done
    }

    /// Refuses new records from now on; the rest of the end takes its time and is [`Stopping::finish`].
    /// None where it was begun before.
    pub fn begin_stop(&mut self) -> Option<Stopping> {
        self.registry.close();
        let threads = self.threads.stop()?;
        Some(Stopping {
            threads,
            registry: self.registry.clone(),
            clock: self.clock,
            gate: self.gate.clone(),
            handover: self.handover.clone(),
            sender_waker: self.sender_waker.clone(),
            notifier: self.notifier.clone(),
        })
    }
}

impl BatcherThread {
    fn run(&mut self) {
        self.batcher.begin();
        loop {
            let is_busy = self.adoption.step();
            if self.batcher.step(is_busy) {
                return;
            }
        }
    }
}
