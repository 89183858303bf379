//! A server that must not get a record: it notes every byte of payload that it was given.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::ServerConnection;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::support::certificates::Authority;
use crate::support::certificates::Issued;
use crate::support::certificates::self_signed;
use crate::support::own_host;

/// Pause between two looks, and the longest that a peer waits for bytes.
const LOOK: Duration = Duration::from_millis(5);
const SILENCE: Duration = Duration::from_secs(5);

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Badness {
    WrongName,
    Expired,
    SelfSigned,
    UnknownAuthority,
    /// Half of its first flight, then the end.
    Truncated,
    /// It speaks the protocol, but no TLS.
    Plaintext,
    /// It says nothing.
    Stalled,
    /// It insists on TLS 1.1.
    Downgrade,
}

impl Badness {
    pub const ALL: [Self; 8] = [
        Self::WrongName,
        Self::Expired,
        Self::SelfSigned,
        Self::UnknownAuthority,
        Self::Truncated,
        Self::Plaintext,
        Self::Stalled,
        Self::Downgrade,
    ];
}

/// See the module's head.
pub struct BadServer {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    is_over: AtomicBool,
    connections: AtomicU64,
    /// Handshakes that a client went through with, and bytes of payload after them.
    handshakes: AtomicU64,
    payload: AtomicU64,
    /// What arrived as it was on the wire.
    raw: Mutex<Vec<u8>>,
}

impl BadServer {
    /// One at `address`, or wherever there is room.
    pub fn start(badness: Badness, authority: &Authority, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        let config = Arc::new(config(badness, authority));
        let serve = move || {
            while !shared.is_over.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        shared.connections.fetch_add(1, Ordering::AcqRel);
                        let (shared, config) = (shared.clone(), config.clone());
                        start_thread(move || shared.serve(badness, stream, config));
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        Self { address, seen, thread: Some(start_thread(serve)) }
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.seen.connections.load(Ordering::Acquire)
    }

    /// Nobody gave it a byte that was meant for a receiver.
    pub fn assert_got_nothing(&self, badness: Badness) {
        assert_eq!(self.seen.handshakes.load(Ordering::Acquire), 0, "{badness:?}: handshakes");
        assert_eq!(self.seen.payload.load(Ordering::Acquire), 0, "{badness:?}: payload bytes");
        let raw = self.seen.raw.lock().unwrap();
        let found = raw.windows(7).any(|window| window == b"payload");
        assert!(!found, "{badness:?}: a record in the clear");
    }
}

impl Drop for BadServer {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Seen {
    fn serve(&self, badness: Badness, stream: TcpStream, config: Arc<ServerConfig>) {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        match badness {
            Badness::WrongName
            | Badness::Expired
            | Badness::SelfSigned
            | Badness::UnknownAuthority => self.serve_tls(stream, config),
            Badness::Truncated => self.serve_half(stream, config),
            Badness::Plaintext => self.serve_raw(stream, b"\0\0\0\x0a\0\0\0\0\0\0\0\0\0\0"),
            Badness::Stalled => self.serve_raw(stream, b""),
            Badness::Downgrade => self.serve_raw(stream, &server_hello_of_tls_1_1()),
        }
    }

    fn serve_tls(&self, mut stream: TcpStream, config: Arc<ServerConfig>) {
        let mut tls = ServerConnection::new(config).unwrap();
        while tls.is_handshaking() {
            // The client ends it, as it should.
            if tls.complete_io(&mut stream).is_err() {
                return;
            }
        }
        self.handshakes.fetch_add(1, Ordering::AcqRel);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = rustls::Stream::new(&mut tls, &mut stream).read(&mut buffer) {
            self.payload.fetch_add(count as u64, Ordering::AcqRel);
        }
    }

    fn serve_half(&self, mut stream: TcpStream, config: Arc<ServerConfig>) {
        let mut tls = ServerConnection::new(config).unwrap();
        // Whatever fails here, the client has gone.
        let Ok(_) = tls.read_tls(&mut stream) else { return };
        let Ok(_) = tls.process_new_packets() else { return };
        let mut flight = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut flight).unwrap();
        }
        let _gone = stream.write_all(&flight[..flight.len() / 2]);
    }

    fn serve_raw(&self, mut stream: TcpStream, answer: &[u8]) {
        let mut buffer = [0; 4096];
        let mut is_answered = false;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            self.raw.lock().unwrap().extend_from_slice(&buffer[..count]);
            // 23 is the type of TLS's records that hold payload.
            let is_payload = is_answered && buffer[0] == 23;
            self.payload.fetch_add(u64::from(is_payload), Ordering::AcqRel);
            if !is_answered && !answer.is_empty() {
                is_answered = true;
                let _gone = stream.write_all(answer);
            }
        }
    }
}

fn config(badness: Badness, authority: &Authority) -> ServerConfig {
    let name = &own_host().to_string();
    let issued = match badness {
        Badness::WrongName => authority.issue("somebody-else.example"),
        Badness::Expired => authority.issue_expired(name),
        Badness::SelfSigned => self_signed(name),
        Badness::UnknownAuthority => Authority::new("unknown").issue(name),
        Badness::Truncated | Badness::Plaintext | Badness::Stalled | Badness::Downgrade => {
            authority.issue(name)
        }
    };
    server_config(&issued)
}

/// A server with this identity.
pub fn server_config(issued: &Issued) -> ServerConfig {
    let chain = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap()
}

/// A handshake record: ServerHello of version 3.2, no session, a cipher suite of that time.
fn server_hello_of_tls_1_1() -> Vec<u8> {
    let body = [&[3, 2][..], &[7; 32], &[0, 0xc0, 0x13, 0]].concat();
    let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 2, 0, message.len() as u8][..], &message].concat()
}

#[allow(clippy::disallowed_methods, reason = "a test's own thread")]
fn start_thread(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(work)
}
