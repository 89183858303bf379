//! Where the receivers are, where the URL does not list them: a watched file, DNS SRV records, ZooKeeper.
//!
//! One thread asks a [`Source`] at an interval and hands on what changed; a source that hangs or fails stalls
//! nobody, and what was known stays. Knows no fleet and no protocol. To add a source: a module with its
//! [`Source`], an entry in `config::Discovery`, an arm in `pipeline/sender/hosts.rs`.
//!
//! Invariants: a list handed on is never empty, has no host twice and at most [`HOSTS_MAX`] of them.

use std::io;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::own_thread;
use crate::transport::host::HostError;
use crate::transport::poller::Waker;

mod file;
#[cfg(feature = "srv")]
mod srv;
#[cfg(feature = "zookeeper")]
mod zookeeper;

pub use file::FileSource;
#[cfg(feature = "srv")]
pub use srv::SrvSource;
#[cfg(feature = "zookeeper")]
pub use zookeeper::ZooKeeperSource;

/// Hosts that one list may have; the fleet takes no more.
pub const HOSTS_MAX: usize = 1024;

/// Names or addresses with their ports.
pub type Hosts = Vec<(String, u16)>;

/// Something that knows where the receivers are.
pub trait Source: Send {
    /// Asks anew. May block for as long as its own limits allow.
    fn hosts(&mut self) -> Result<Hosts, DiscoveryError>;
}

/// Why a source gave no list; what was known before stays in use.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The file could not be read.
    #[error("{path}: {error}; give `discovery.file` a readable file of at most {max} bytes")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        error: io::Error,
        /// The limit of its size.
        max: u64,
    },
    /// A line or a node names no place.
    #[error("{place}: {error}")]
    Malformed {
        /// Which line or node.
        place: String,
        /// What is wrong with it.
        error: HostError,
    },
    /// Nobody is listed.
    #[error("{0} lists no host; what was known before stays in use")]
    Empty(String),
    /// More than [`HOSTS_MAX`].
    #[error("{place} lists {given} hosts, at most {HOSTS_MAX} are allowed")]
    TooMany {
        /// Which source.
        place: String,
        /// How many it lists.
        given: usize,
    },
    /// The server that was asked did not answer, or refused.
    #[error("{place}: {reason}")]
    Refused {
        /// Which name or node.
        place: String,
        /// What was said.
        reason: String,
    },
}

#[derive(Default)]
struct State {
    found: Option<Hosts>,
    failures: u64,
    is_stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    stopped: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A poisoned lock still guards plain values that are valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module's head. Dropping it tells the thread to end, without waiting for a source that hangs.
pub struct Discovery {
    shared: Arc<Shared>,
}

impl Discovery {
    /// Starts to ask `source`, at once and then every `interval`; `waker` is woken when the list changed.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(source: Box<dyn Source>, interval: Duration, waker: Waker) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let state = shared.clone();
        let _detached = own_thread::start("logdrive-discover", move || {
            ask_all(&state, source, interval, &waker);
        })?;
        Ok(Self { shared })
    }

    /// The list, if it changed since the last call.
    pub fn take(&self) -> Option<Hosts> {
        self.shared.lock().found.take()
    }

    /// How often the source gave no list.
    pub fn failures(&self) -> u64 {
        self.shared.lock().failures
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.shared.lock().is_stopped = true;
        self.shared.stopped.notify_all();
    }
}

fn ask_all(shared: &Shared, mut source: Box<dyn Source>, interval: Duration, waker: &Waker) {
    let mut known = Hosts::new();
    loop {
        let answer = source.hosts();
        let mut state = shared.lock();
        match answer {
            Ok(hosts) if hosts != known => {
                known.clone_from(&hosts);
                state.found = Some(hosts);
                waker.wake();
            }
            Ok(_unchanged) => {}
            Err(_counted) => state.failures += 1,
        }
        let wait = shared.stopped.wait_timeout_while(state, interval, |state| !state.is_stopped);
        if wait.unwrap_or_else(PoisonError::into_inner).0.is_stopped {
            return;
        }
    }
}

/// Puts a list into the order and bounds that are promised.
fn checked(place: &str, mut hosts: Hosts) -> Result<Hosts, DiscoveryError> {
    hosts.sort_unstable();
    hosts.dedup();
    match hosts.len() {
        0 => Err(DiscoveryError::Empty(place.to_owned())),
        1..=HOSTS_MAX => Ok(hosts),
        given => Err(DiscoveryError::TooMany { place: place.to_owned(), given }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Poller;
    use std::sync::mpsc;

    /// Answers what it is sent, and an error when nothing was sent.
    struct Told(mpsc::Receiver<Hosts>);

    impl Source for Told {
        fn hosts(&mut self) -> Result<Hosts, DiscoveryError> {
            self.0.try_recv().map_err(|_| DiscoveryError::Empty("nobody".to_owned()))
        }
    }

    #[test]
    fn a_changed_list_wakes_and_a_failure_takes_nothing_away() {
        let mut poller = Poller::new().unwrap();
        let (sender, receiver) = mpsc::channel();
        let first = vec![("a".to_owned(), 1)];
        let second = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
        for hosts in [&first, &first, &second] {
            sender.send(hosts.clone()).unwrap();
        }
        let interval = Duration::from_millis(1);
        let discovery =
            Discovery::start(Box::new(Told(receiver)), interval, poller.waker()).unwrap();
        let mut lists = Vec::new();
        while lists.last() != Some(&second) {
            poller.wait(Some(Duration::from_secs(30)), |_| {}).unwrap();
            lists.extend(discovery.take());
        }
        assert!(lists.len() <= 2, "an unchanged list was handed on: {lists:?}");
        while discovery.failures() < 3 {
            std::thread::yield_now();
        }
        assert_eq!(discovery.take(), None);
    }

    #[test]
    fn lists_are_bounded_and_never_empty() {
        assert!(matches!(checked("x", Vec::new()), Err(DiscoveryError::Empty(_))));
        let host = |n: usize| (format!("h{n}"), 1);
        assert_eq!(checked("x", (0..HOSTS_MAX).map(host).collect()).unwrap().len(), HOSTS_MAX);
        let refused = checked("x", (0..=HOSTS_MAX).map(host).collect()).unwrap_err();
        assert_eq!(refused.to_string(), "x lists 1025 hosts, at most 1024 are allowed");
        assert_eq!(checked("x", vec![host(1), host(1)]).unwrap(), [host(1)]);
    }
}
