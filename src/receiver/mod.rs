//! A small receiver: speaks enough of Kafka's protocol for any producer, and stores batches as they
//! come, in files that Kafka's own tools read.
//!
//! ```text
//! socket -> receive_buffer -> connection -> proto::kafka::broker -> service -> judge -> store
//!   ^                                                                        partition -> segment
//!   '---- replies <---- (sync, if acknowledgements wait for it) <-----------------'
//! ```
//!
//! With [`Options::forward`] it is a relay: batches go on as they are, through a spool of its own, and `forward`
//! stands in the place of `store`.
//!
//! One thread does it all. It may be embedded: start any number of receivers in a
//! process, each with an address and a directory of its own.
//!
//! Promises: a batch is acknowledged only when it is as durable as [`Sync`] says; an exact repeat
//! within the window is acknowledged and not stored again; what does not pass its checks is never
//! written; every refusal is counted by reason; memory is bounded by [`Options`]: `connections_max`
//! times `connection_bytes_max` at worst, in practice 64 KiB per quiet connection.

mod connection;
mod control;
mod dedupe;
mod event_loop;
mod forward;
mod guard;
mod judge;
mod listener;
mod options;
mod partition;
mod producer_ids;
mod receive_buffer;
mod recovery;
mod replies;
mod segment;
mod service;
mod slab;
mod stats;
mod store;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Poll;
use mio::Waker;

use crate::clock::Clock;
use crate::pipeline::StartError;
use crate::pipeline::relay::Refusals;
use crate::pipeline::relay::Relay;
use crate::receiver::control::Control;
use crate::receiver::event_loop::EventLoop;
use crate::receiver::forward::Forwarder;
use crate::receiver::guard::Guard;
use crate::receiver::service::Service;
use crate::receiver::service::Sink;
use crate::receiver::stats::Counters;
use crate::receiver::store::Store;
use crate::stats::Counters as SendCounters;

pub use crate::transport::tls::Files as TlsFiles;
pub use forward::Acknowledge;
pub use forward::Forward;
pub use guard::GuardError;
pub use options::Options;
pub use options::Sync;
pub use stats::Forwarded;
pub use stats::Refusal;
pub use stats::Stats;
pub use store::StoreError;

/// How long a receiver that is dropped may take to answer what it has.
const DROP_DEADLINE: Duration = Duration::from_secs(1);

/// Why a receiver did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// An option is out of its range; the text names it, its value and the range.
    #[error("{0}")]
    Options(String),
    /// The directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates or users cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        error: io::Error,
    },
    /// What batches are forwarded through cannot be made.
    #[error("cannot forward: {0}")]
    Forward(#[from] StartError),
    /// The operating system refused a thread, or readiness events.
    #[error("the receiver cannot run: {0}")]
    Io(#[from] io::Error),
    /// A defect: the receiver's thread panicked, and again when it started over. Nothing that was acknowledged is
    /// lost by it.
    #[error("the receiver's thread panicked; please report it")]
    Panicked,
}

/// A running receiver. Thread-safe. Dropping it stops it.
pub struct Receiver {
    local_addr: SocketAddr,
    counters: Arc<Counters>,
    forwarding: Option<Arc<SendCounters>>,
    stopper: Stopper,
    thread: Option<JoinHandle<Result<(), ReceiverError>>>,
}

/// Stops a receiver, from any thread.
#[derive(Clone)]
pub struct Stopper {
    clock: Clock,
    control: Arc<Control>,
}

impl Stopper {
    /// Asks the receiver to accept and read nothing more and to answer what it has within
    /// `deadline`. Does not wait; the first call counts.
    pub fn stop(&self, deadline: Duration) {
        // The wake-up cannot fail on a descriptor that is open as long as the control exists.
        let _woken = self.control.stop(self.clock.moment().after(deadline));
    }
}

impl Receiver {
    /// Takes the directory, cuts torn tails, listens, and starts the receiver's thread.
    ///
    /// Blocks while the last segment of every partition is read once.
    ///
    /// # Errors
    /// See [`ReceiverError`]; nothing is left running.
    pub fn start(options: Options) -> Result<Self, ReceiverError> {
        options.check().map_err(ReceiverError::Options)?;
        let clock = Clock::start();
        let guard = Guard::new(&options, clock.moment())?;
        let address = options.listen;
        let listen = |error| ReceiverError::Listen { address, error };
        let listener = listener::listen(address).map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let poll = Poll::new()?;
        let control = Arc::new(Control::new(Waker::new(poll.registry(), event_loop::WAKE)?));
        let counters = Arc::new(Counters::default());
        let stopper = Stopper { clock, control: Arc::clone(&control) };
        let (sink, forwarding) = match &options.forward {
            Some(forward) => {
                let relay = start_relay(forward, &options, clock, &control)?;
                let counters = relay.counters();
                let forwarder = Forwarder::new(relay, forward.acknowledge, &options);
                (Sink::Forward(Box::new(forwarder)), Some(counters))
            }
            None => {
                let store = Store::open(&options, clock.moment())?;
                (Sink::Store(Box::new(store)), None)
            }
        };
        let service = Service::new(sink, &options, Arc::clone(&counters));
        let shared = (control, Arc::clone(&counters));
        let event_loop = EventLoop::new(poll, listener, (service, guard), options, clock, shared)?;
        let thread = std::thread::Builder::new()
            .name("logdrive-recv".to_owned())
            .spawn(move || event_loop.run_supervised())?;
        Ok(Self { local_addr, counters, forwarding, stopper, thread: Some(thread) })
    }

    /// The address it listens on, with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What was counted since the start. Does not block.
    pub fn stats(&self) -> Stats {
        let forwarding = self.forwarding.as_ref();
        let forwarded = forwarding.map(|counters| Forwarded::of(&counters.sender()));
        Stats { forwarded, ..self.counters.snapshot() }
    }

    /// A handle that stops it, for a signal handler's thread say.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Stops it: accepts and reads nothing more, answers what it has within `deadline`, syncs its
    /// files whatever [`Sync`] says, and waits for all that.
    ///
    /// # Errors
    /// When it had stopped by itself before.
    pub fn shutdown(self, deadline: Duration) -> Result<Stats, ReceiverError> {
        self.stopper.stop(deadline);
        self.wait()
    }

    /// Waits until it is stopped by its [`Stopper`] or fails.
    ///
    /// # Errors
    /// When it failed.
    pub fn wait(mut self) -> Result<Stats, ReceiverError> {
        self.join()?;
        Ok(self.stats())
    }

    fn join(&mut self) -> Result<(), ReceiverError> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_panic)) => Err(ReceiverError::Panicked),
            None => Ok(()),
        }
    }
}

fn start_relay(
    forward: &Forward,
    options: &Options,
    clock: Clock,
    control: &Arc<Control>,
) -> Result<Relay, ReceiverError> {
    let mut settings =
        forward.config.settings().map_err(|error| ReceiverError::Options(error.to_string()))?;
    settings.spool.dir.get_or_insert_with(|| options.dir.clone());
    let refusals = match forward.acknowledge {
        Acknowledge::Delivered => Refusals::Returned,
        Acknowledge::Stored => {
            // What was acknowledged survives our crash: so it never lies in memory, and a full disk refuses it.
            settings.spool.memory_bytes_max = Some(0);
            Refusals::Divided
        }
    };
    let control = Arc::clone(control);
    // The wake-up cannot fail on a descriptor that is open as long as the control exists.
    let on_progress = move || drop(control.wake());
    Ok(Relay::start(Arc::new(settings), clock, refusals, on_progress)?)
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stopper.stop(DROP_DEADLINE);
            // A drop has nobody to tell; whoever must know calls `shutdown`.
            let _outcome = self.join();
        }
    }
}
