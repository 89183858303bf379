//! A hostile network: a TCP proxy that cuts connections at any byte, delays, and swallows answers.
//!
//! Never changes or repeats a byte. Every connection has a fate of its own, drawn from a seed; after
//! [`Proxy::calm_down`] doomed connections are cut and new ones are left in peace.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::SockRef;

use crate::support::random::Random;

/// How often an idle pump looks whether it was told to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Looks after which a connection whose answers are swallowed is cut.
const LOOKS_WHILE_SWALLOWING: u32 = 10;

/// See the module's head.
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    is_calm: AtomicBool,
    is_over: AtomicBool,
    cuts: AtomicU64,
    swallowed: AtomicU64,
}

/// What is to become of a connection.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Request bytes after which it is cut.
    request_bytes: u64,
    /// Answer bytes after which answers are swallowed; requests still arrive.
    answer_bytes: u64,
    /// The longest pause before a piece is passed on.
    delay_ms_max: u64,
}

impl Fate {
    const PEACE: Self = Self { request_bytes: u64::MAX, answer_bytes: u64::MAX, delay_ms_max: 0 };

    fn draw(random: &mut Random) -> Self {
        match random.below(3) {
            0 => Self { request_bytes: random.below(200_000), ..Self::PEACE },
            1 => Self {
                request_bytes: 50_000 + random.below(300_000),
                answer_bytes: 100 + random.below(400),
                delay_ms_max: 0,
            },
            _ => Self {
                request_bytes: random.below(400_000),
                answer_bytes: u64::MAX,
                delay_ms_max: 1 + random.below(5),
            },
        }
    }
}

impl Proxy {
    /// Starts one in front of `upstream`.
    pub fn start(upstream: SocketAddr, mut random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            is_calm: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
        });
        let proxy = Self { address, shared: shared.clone() };
        start_thread(move || {
            for client in listener.incoming() {
                if shared.is_over.load(Ordering::Acquire) {
                    return;
                }
                let calm = shared.is_calm.load(Ordering::Acquire);
                let fate = if calm { Fate::PEACE } else { Fate::draw(&mut random) };
                shared.connect(client.unwrap(), fate, Random::new(random.next()));
            }
        });
        proxy
    }

    /// From now on nothing is disturbed.
    pub fn calm_down(&self) {
        self.shared.is_calm.store(true, Ordering::Release);
    }

    /// Connections that were cut by us.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Acquire)
    }

    /// Bytes of answers that nobody got.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        // Wakes the thread that accepts; if it has ended, there is nothing to wake.
        let _woken = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, fate: Fate, random: Random) {
        // While the receiver is down its clients see a connection that ends at once.
        let Ok(server) = TcpStream::connect(self.upstream) else { return };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(LOOK)).unwrap();
        }
        let answers = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let (requests, shared) = ((client, server), self.clone());
        let random_too = random.clone();
        start_thread(move || shared.pump_requests(requests, fate, random));
        let shared = self.clone();
        start_thread(move || shared.pump_answers(answers, fate, random_too));
    }

    fn is_doomed_in_peace(&self, fate: Fate) -> bool {
        fate.request_bytes != u64::MAX && self.is_calm.load(Ordering::Acquire)
    }

    fn cut(&self, streams: [&TcpStream; 2]) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
        for stream in streams {
            // Without a linger what is sent from now on meets a reset.
            SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        close(streams);
    }

    fn pump_requests(&self, streams: (TcpStream, TcpStream), fate: Fate, mut random: Random) {
        let (mut from, mut to) = streams;
        let (mut passed, mut buffer) = (0, vec![0; 16 << 10]);
        loop {
            let left = fate.request_bytes.saturating_sub(passed);
            if left == 0 || self.is_doomed_in_peace(fate) {
                return self.cut([&from, &to]);
            }
            let Some(count) = read(&mut from, &mut buffer) else { return close([&from, &to]) };
            delay(fate, &mut random);
            let pass = left.min(count as u64);
            if to.write_all(&buffer[..pass as usize]).is_err() {
                return close([&from, &to]);
            }
            passed += pass;
        }
    }

    fn pump_answers(&self, streams: (TcpStream, TcpStream), fate: Fate, mut random: Random) {
        let (mut from, mut to) = streams;
        let (mut passed, mut looks, mut buffer) = (0, 0, vec![0; 4 << 10]);
        loop {
            if looks > LOOKS_WHILE_SWALLOWING {
                return self.cut([&from, &to]);
            }
            let Some(count) = read(&mut from, &mut buffer) else { return close([&from, &to]) };
            delay(fate, &mut random);
            let pass = (fate.answer_bytes - passed).min(count as u64);
            if to.write_all(&buffer[..pass as usize]).is_err() {
                return close([&from, &to]);
            }
            passed += pass;
            self.swallowed.fetch_add(count as u64 - pass, Ordering::AcqRel);
            looks += u32::from(passed == fate.answer_bytes);
        }
    }
}

/// Bytes read, 0 where none came in time, `None` at the end.
fn read(from: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    match from.read(buffer) {
        Ok(0) => None,
        Ok(count) => Some(count),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Some(0)
        }
        Err(_ended) => None,
    }
}

fn delay(fate: Fate, random: &mut Random) {
    if fate.delay_ms_max > 0 {
        std::thread::sleep(Duration::from_millis(random.below(fate.delay_ms_max)));
    }
}

fn close(streams: [&TcpStream; 2]) {
    for stream in streams {
        // Fails where the peer was faster.
        let _closed = stream.shutdown(Shutdown::Both);
    }
}

fn start_thread(run: impl FnOnce() + Send + 'static) {
    // Detached: it ends with its connection.
    std::thread::Builder::new().name("proxy".to_owned()).spawn(run).unwrap();
}
