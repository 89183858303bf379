//! Readiness: which of our sockets can be read or written, or did somebody wake us.
//!
//! A thin layer over mio that keeps its types out of the stages. One thread's; wakers may be shared.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::Events;
use mio::Poll;
use mio::Token;

use crate::transport::socket::Socket;

const EVENTS_MAX: usize = 256;
const WAKER: Token = Token(usize::MAX);

/// Wakes a [`Poller`] from any thread: one write to an eventfd, about 200 ns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker(Arc<mio::Waker>);

impl Waker {
    /// Makes the poller's current or next wait return.
    pub fn wake(&self) {
        // Fails only where the eventfd's counter is at its maximum, that is, when a wake-up is pending anyway.
        let _pending = self.0.wake();
    }
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number it was registered under.
    pub index: usize,
    /// There is something to read, or an end or error to be found by reading.
    pub readable: bool,
    /// There is room to write, or a connect was decided.
    pub writable: bool,
}

/// See the module's head.
pub struct Poller {
    poll: Poll,
    events: Events,
    waker: Waker,
}

impl Poller {
    /// A poller with its waker; two file descriptors, close-on-exec.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker(Arc::new(mio::Waker::new(poll.registry(), WAKER)?));
        Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), waker })
    }

    /// A waker for other threads.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Watches `socket` for reading and writing under `index`. Readiness is edge-triggered: read and
    /// write until nothing is taken.
    pub fn register(&self, socket: &mut Socket, index: usize) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        self.poll.registry().register(socket.source(), Token(index), interest)
    }

    /// Stops watching `socket`; to be called before it is dropped.
    pub fn deregister(&self, socket: &mut Socket) -> io::Result<()> {
        self.poll.registry().deregister(socket.source())
    }

    /// Waits until something is ready, somebody wakes us or `timeout` passes, then calls `handle` for each
    /// ready socket. An interrupted wait returns early.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut handle: impl FnMut(Ready),
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in self.events.iter().filter(|event| event.token() != WAKER) {
            handle(Ready {
                index: event.token().0,
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable() || event.is_write_closed() || event.is_error(),
            });
        }
        Ok(())
    }
}
