//! Names to addresses, off the loop: a resolver that hangs for half a minute stalls nobody.
//!
//! Owns at most one short-lived thread, started when there is a name to look up and gone when there is none.
//! Literal addresses need no thread.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::ids::EndpointId;
use crate::own_thread;
use crate::transport::poller::Waker;

/// Names waiting at most; one per endpoint is enough, since a second request for the same one takes its place.
const QUEUE_MAX: usize = 1024;

/// What became of one request.
#[derive(Debug)]
pub struct Resolved {
    /// The endpoint that was asked for.
    pub endpoint: EndpointId,
    /// The host that was asked for; the endpoint may have another one by now.
    pub host: String,
    /// And its port.
    pub port: u16,
    /// All its addresses (A and AAAA), or why there are none.
    pub addresses: io::Result<Vec<SocketAddr>>,
}

#[derive(Default)]
struct Shared {
    requests: VecDeque<(EndpointId, String, u16)>,
    answers: Vec<Resolved>,
    is_running: bool,
}

/// See the module's head.
pub struct Resolver {
    shared: Arc<Mutex<Shared>>,
    waker: Waker,
}

impl Resolver {
    /// A resolver that wakes `waker` when an answer is there.
    pub fn new(waker: Waker) -> Self {
        Self { shared: Arc::default(), waker }
    }

    /// Asks for the addresses of `host`; the answer comes from [`Resolver::answers`]. Never blocks on the network.
    pub fn request(&self, endpoint: EndpointId, host: &str, port: u16) {
        let mut shared = lock(&self.shared);
        if let Ok(address) = host.parse::<IpAddr>() {
            let addresses = Ok(vec![SocketAddr::new(address, port)]);
            shared.answers.push(Resolved { endpoint, host: host.to_owned(), port, addresses });
            return;
        }
        if let Some(waiting) = shared.requests.iter_mut().find(|(id, ..)| *id == endpoint) {
            // What it was called before nobody wants to know any more.
            *waiting = (endpoint, host.to_owned(), port);
            return;
        }
        if shared.requests.len() >= QUEUE_MAX {
            return;
        }
        shared.requests.push_back((endpoint, host.to_owned(), port));
        if !shared.is_running {
            shared.is_running = true;
            let (state, waker) = (self.shared.clone(), self.waker.clone());
            let started = own_thread::start("logdrive-resolve", move || {
                resolve_all(&state, &waker);
            });
            if let Err(error) = started {
                shared.is_running = false;
                let refused: Vec<_> = shared.requests.drain(..).collect();
                for (endpoint, host, port) in refused {
                    let addresses = Err(io::Error::new(error.kind(), "no thread to resolve names"));
                    shared.answers.push(Resolved { endpoint, host, port, addresses });
                }
            }
        }
    }

    /// The answers that came since the last call.
    pub fn answers(&self) -> Vec<Resolved> {
        std::mem::take(&mut lock(&self.shared).answers)
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // A poisoned lock still guards plain queues that are valid at every step.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn resolve_all(shared: &Mutex<Shared>, waker: &Waker) {
    loop {
        let request = {
            let mut shared = lock(shared);
            let request = shared.requests.pop_front();
            shared.is_running = request.is_some();
            request
        };
        let Some((endpoint, host, port)) = request else { return };
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        lock(shared).answers.push(Resolved { endpoint, host, port, addresses });
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Poller;
    use std::time::Duration;

    #[test]
    fn literals_are_answered_at_once_and_names_by_a_wake_up() {
        let mut poller = Poller::new().unwrap();
        let resolver = Resolver::new(poller.waker());
        resolver.request(EndpointId(1), "127.0.0.1", 9092);
        resolver.request(EndpointId(2), "::1", 9093);
        let answers = resolver.answers();
        assert_eq!(answers.len(), 2);
        assert_eq!(answers[1].addresses.as_ref().unwrap()[0], "[::1]:9093".parse().unwrap());
        resolver.request(EndpointId(3), "localhost", 1);
        poller.wait(Some(Duration::from_secs(10)), |_| {}).unwrap();
        let answers = resolver.answers();
        assert_eq!(answers[0].endpoint, EndpointId(3));
        assert!(answers[0].addresses.as_ref().unwrap().iter().all(|a| a.ip().is_loopback()));
    }

    #[test]
    fn a_host_that_replaces_another_one_takes_its_place_in_the_queue() {
        let poller = Poller::new().unwrap();
        let resolver = Resolver::new(poller.waker());
        // As while a slow name is looked up: requests wait.
        lock(&resolver.shared).is_running = true;
        resolver.request(EndpointId(0), "former.invalid", 1);
        resolver.request(EndpointId(1), "localhost", 2);
        resolver.request(EndpointId(0), "localhost", 3);
        resolve_all(&resolver.shared, &resolver.waker);
        let answers = resolver.answers();
        let asked: Vec<_> =
            answers.iter().map(|a| (a.endpoint.0, a.host.as_str(), a.port)).collect();
        assert_eq!(asked, [(0, "localhost", 3), (1, "localhost", 2)]);
        assert!(answers[0].addresses.as_ref().unwrap().iter().all(|address| address.port() == 3));
    }
}
