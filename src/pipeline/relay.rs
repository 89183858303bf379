//! The pipeline without rings: sealed batches that a receiver took go on as they are, to the next receiver or to
//! Kafka.
//!
//! ```text
//! Relay::ingest -> [spool] -> Sender -> lanes          Relay::progress <- Gate, Losses
//! ```
//!
//! A body is neither decompressed nor changed; the header is unbound and bound anew by the sender, and the
//! identity in the first record stays that of the application that logged it (I11). Our own numbers only say which
//! batches the next hop has answered for. When the spool is full the batch is refused, so nothing that was taken is
//! ever dropped for want of room. What a relay leaves when it is killed is adopted by the next one of its name.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use thiserror::Error;

use crate::batch::HEADER_BYTES;
use crate::batch::Header;
use crate::checksum;
use crate::clock::Clock;
use crate::config::Settings;
use crate::ids::InstanceId;
use crate::ids::Moment;
use crate::pipeline::StartError;
use crate::pipeline::adopt;
use crate::pipeline::adoption;
use crate::pipeline::adoption::Adoption;
use crate::pipeline::credentials::Watch;
use crate::pipeline::encode;
use crate::pipeline::gate::Gate;
use crate::pipeline::handover::Handover;
use crate::pipeline::handover::Source;
use crate::pipeline::losses::Cause;
use crate::pipeline::notifier::Notifier;
use crate::pipeline::placement::ANY;
use crate::pipeline::prepare;
use crate::pipeline::sender;
pub use crate::pipeline::sender::Refusals;
use crate::pipeline::sender::Sender;
use crate::pipeline::slots::Roots;
use crate::pipeline::slots::Slot;
use crate::pipeline::supervise;
use crate::spool;
use crate::spool::CommitError;
use crate::spool::DropReason;
use crate::stats::Counters;
use crate::sys::guard;
use crate::sys::thread::Thread;
use crate::transport::Poller;
use crate::transport::Waker;

/// Pause between two looks for slots of dead relays.
const ADOPTION_PAUSE: Duration = Duration::from_millis(50);

/// A sealed batch from somebody else.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The topic it goes to.
    pub topic: &'a str,
    /// Its header, decoded and found good, the checksum included.
    pub header: &'a Header,
    /// Its compressed records.
    pub body: &'a [u8],
}

/// Why a batch was not taken; nothing of it was.
#[derive(Debug, Error)]
pub enum IngestError {
    /// It is larger than a spool takes at once: to be sent in parts.
    #[error("the batch is too large for a spool")]
    TooLarge,
    /// The spool is full, or the disk refused: to be sent again later.
    #[error(transparent)]
    Unavailable(CommitError),
}

/// Why a batch was given up after it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The next hop takes no batch of this size.
    TooLarge,
    /// The next hop refused it for good.
    Rejected,
    /// It had to give way.
    NoRoom,
    /// Our disk lost it.
    Damaged,
    /// Too many were given up since to know of this one.
    Forgotten,
}

/// See the module's head. One thread's; dropping it leaves what is stored to the next relay of its name.
pub struct Relay {
    roots: Roots,
    instance: InstanceId,
    writer: spool::Writer,
    /// The number of the last batch that was taken.
    taken: Option<u64>,
    gate: Arc<Gate>,
    handover: Arc<Handover>,
    counters: Arc<Counters>,
    waker: Waker,
    stops: Arc<AtomicBool>,
    threads: Option<(Thread<Sender>, Thread<Adoption>)>,
}

/// What the next hop has answered for what was taken.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    gate: &'a Gate,
    handover: &'a Handover,
}

impl Progress<'_> {
    /// What became of the batch with this number: nothing yet, taken by the next hop, or given up for good; whatever
    /// became of those before it, since a batch that nobody takes is no reason to withhold others' answers.
    pub fn of(&self, number: u64) -> Option<Result<(), GivenUp>> {
        if !self.gate.is_resolved(number) {
            return None;
        }
        // Losses are noted before the numbers that they stand for count as answered.
        let losses = self.handover.losses();
        Some(match losses.cause_of(number) {
            None if losses.remembers(number) => Ok(()),
            None => Err(GivenUp::Forgotten),
            Some(Cause::Dropped(DropReason::TooLarge)) => Err(GivenUp::TooLarge),
            Some(Cause::Dropped(DropReason::Rejected)) => Err(GivenUp::Rejected),
            Some(Cause::Dropped(DropReason::Quota | DropReason::InDoubt)) => Err(GivenUp::NoRoom),
            Some(Cause::Dropped(DropReason::Unreadable) | Cause::Damaged) => Err(GivenUp::Damaged),
        })
    }
}

impl Relay {
    /// Makes a slot in `spool.dir` (or on the tmpfs) with a spool, and starts the threads; `on_progress` is called
    /// whenever [`Relay::progress`] may have changed, by one of them. With [`Refusals::Returned`] a batch is given up
    /// as a whole or not at all; what a dead relay left is divided, since nobody waits for the answer.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left running.
    pub fn start(
        settings: Arc<Settings>,
        clock: Clock,
        refusals: Refusals,
        on_progress: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let spool_dir = settings.spool.dir.as_deref();
        let ring_dir = settings.ring.dir.as_deref().or(spool_dir);
        settings.spool.sigbus_guard.then(guard::install);
        let roots = Roots::new(ring_dir, spool_dir, &settings.client.name);
        let slot = roots.create()?;
        match Self::start_in(&slot, &settings) {
            Ok((options, writer, reader, poller)) => {
                let source = Source { reader, writer: None, slot };
                let gate = Arc::new(Gate::watched_by(Box::new(on_progress)));
                let answers = (gate, refusals);
                Self::assemble(settings, clock, (roots, options), (writer, source), poller, answers)
            }
            Err(error) => {
                slot.discard();
                Err(error)
            }
        }
    }

    fn start_in(
        slot: &Slot,
        settings: &Settings,
    ) -> Result<(spool::Options, spool::Writer, spool::Reader, (Poller, Watch)), StartError> {
        let poller = Poller::new().map_err(StartError::io("watch sockets"))?;
        let credentials = Watch::start(settings, poller.waker())?;
        let options = prepare::spool_options(slot, settings);
        let (writer, reader) = spool::create(slot.spool_dir(), slot.instance(), &options)?;
        Ok((options, writer, reader, (poller, credentials)))
    }

    fn assemble(
        settings: Arc<Settings>,
        clock: Clock,
        (roots, spool_options): (Roots, spool::Options),
        (writer, own): (spool::Writer, Source),
        (poller, credentials): (Poller, Watch),
        (gate, refusals): (Arc<Gate>, Refusals),
    ) -> Result<Self, StartError> {
        let instance = own.slot.instance();
        let handover = Arc::new(Handover::new(instance));
        let counters = Arc::<Counters>::default();
        let waker = poller.waker();
        // A receiver has no callback.
        let notifier = Notifier::new(None, counters.clone());
        let encode = encode::Options::new(instance, &settings);
        // For a slot with rings: a process of the name that was no relay left it.
        let ring = prepare::ring_options(&settings, prepare::ARENA_BYTES_MAX);
        let adoption = Adoption::new(adoption::Parts {
            roots: roots.clone(),
            options: adopt::Options::new(encode.clone(), spool_options, ring),
            interval: settings.spool.adoption_interval,
            slots_max: settings.spool.adoption_slots_max as usize,
            clock,
            handover: handover.clone(),
            counters: counters.clone(),
            sender: waker.clone(),
            notifier: notifier.clone(),
        });
        let sender = Sender::new(sender::Parts {
            refusals,
            own,
            arena: None,
            placement: encode.placement,
            settings,
            clock,
            poller,
            credentials,
            gate: gate.clone(),
            handover: handover.clone(),
            counters: counters.clone(),
            notifier,
        });
        let mut relay = Self {
            roots,
            instance,
            writer,
            taken: None,
            gate,
            handover,
            counters,
            waker,
            stops: Arc::default(),
            threads: None,
        };
        relay.start_threads(sender, adoption)?;
        Ok(relay)
    }

    fn start_threads(&mut self, sender: Sender, adoption: Adoption) -> Result<(), StartError> {
        let (counters, stops) = (&self.counters, self.stops.clone());
        let adoption = supervise::start(
            "logdrive-adopt",
            counters.clone(),
            Arc::new(Mutex::new(Some(adoption))),
            move |adoption| {
                // Relaxed: an end, nothing else is handed over by it.
                while !stops.load(Ordering::Relaxed) {
                    if !adoption.step() {
                        std::thread::sleep(ADOPTION_PAUSE);
                    }
                }
            },
        )
        .map_err(StartError::io("start the adopting thread"))?;
        let sender = Arc::new(Mutex::new(Some(sender)));
        match supervise::start("logdrive-send", counters.clone(), sender, Sender::run) {
            Ok(sender) => {
                self.threads = Some((sender, adoption));
                Ok(())
            }
            Err(error) => {
                // Relaxed: as above.
                self.stops.store(true, Ordering::Relaxed);
                Err(StartError::io("start the sender's thread")(error))
            }
        }
    }

    /// Takes a batch; the number under which [`Relay::progress`] knows it. It survives a crash of this process from
    /// now on, and what `spool.sync` says; with `spool.memory_bytes_max` above zero only while the disk takes files.
    /// Blocks only where a segment is allocated or synced.
    ///
    /// # Errors
    ///
    /// See [`IngestError`].
    pub fn ingest(&mut self, batch: &Incoming<'_>) -> Result<u64, IngestError> {
        let number = self.writer.next_record();
        let header = unbound(batch.header);
        let frame = spool::Batch {
            topic: batch.topic,
            partition: ANY,
            severity_max: 0,
            batch_number: number,
            first_record: number,
            record_count: batch.header.record_count.cast_unsigned(),
            max_timestamp: batch.header.max_timestamp,
            header: &header,
            body: batch.body,
            body_crc: checksum::crc32c(batch.body),
        };
        let group = spool::Group { first_record: number, positions: &[], batches: &[frame] };
        match self.writer.commit(&group) {
            Ok(_committed) => {
                self.writer.publish();
                self.taken = Some(number);
                self.waker.wake();
                self.counters.batch.committed.add(u64::from(frame.record_count));
                Ok(number)
            }
            Err(CommitError::TooLarge { .. }) => Err(IngestError::TooLarge),
            Err(error @ CommitError::Full { .. }) => {
                self.counters.batch.spool_full.add(1);
                Err(IngestError::Unavailable(error))
            }
            Err(error @ (CommitError::Misnumbered { .. } | CommitError::Io { .. })) => {
                self.counters.batch.spool_errors.add(1);
                Err(IngestError::Unavailable(error))
            }
        }
    }

    /// What is not urgent: the next segment, and the sync that `spool.sync` asks for. Blocks on the disk.
    pub fn maintain(&mut self, now: Moment) {
        if self.writer.will_allocate() {
            self.writer.set_other_bytes(self.roots.bytes_beside(self.instance));
        }
        self.writer.prepare(now);
        if self.writer.sync_due(now).is_err() {
            self.counters.batch.spool_errors.add(1);
        }
    }

    /// What the next hop has answered.
    pub fn progress(&self) -> Progress<'_> {
        Progress { gate: &self.gate, handover: &self.handover }
    }

    /// Statistics, for whoever looks at them from another thread.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Waits until all that was taken is answered, `deadline` at most, and ends the threads. True where nothing is
    /// left; otherwise the next relay of the name goes on with it.
    pub fn stop(mut self, deadline: Duration) -> bool {
        let is_answered = self.taken.is_none_or(|last| self.gate.wait_through(last, deadline));
        let Some((sender, adoption)) = self.threads.take() else { return false };
        // Relaxed: an end, nothing else is handed over by it.
        self.stops.store(true, Ordering::Relaxed);
        self.handover.stop_sender();
        self.waker.wake();
        // Caught panics never end our threads, so there is always a result.
        let _adoption = adoption.join();
        let Some(sender) = sender.join() else { return false };
        let Some(mut own) = sender.into_own() else { return false };
        own.writer = Some(self.writer);
        match own.remove_drained() {
            Ok(is_gone) => is_gone && is_answered,
            // Everything is answered; what could not be removed is removed by the next relay.
            Err(_kept) => is_answered,
        }
    }
}

/// The header as it was sealed, without producer, checksum and offset.
fn unbound(header: &Header) -> [u8; HEADER_BYTES] {
    let sealed = Header {
        base_offset: 0,
        crc: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        ..*header
    };
    sealed.encode()
}
