//! One TCP connection, non-blocking, plain or with TLS.
//!
//! Owns the socket options that the measured hazards ask for: `TCP_USER_TIMEOUT` (a black hole with data in flight is
//! otherwise not noticed for minutes), keepalive (a black hole while idle), `TCP_NODELAY`, close-on-exec,
//! and `MSG_NOSIGNAL` on every write (a plain `writev` to a reset socket kills the host).

use std::io;
use std::io::IoSlice;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use socket2::Domain;
use socket2::Protocol;
use socket2::SockRef;
use socket2::TcpKeepalive;
use socket2::Type;

use crate::transport::tls;

/// Probes an idle connection after this long, then every [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that may wait unsent in the kernel before the socket stops being writable.
const NOT_SENT_LOW_WATER_BYTES: u32 = 1 << 20;

/// Options of a connection.
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// How long sent data may stay unacknowledged by the peer's kernel.
    pub user_timeout: Duration,
}

/// A connecting or connected socket. Dropping it closes the descriptor and writes nothing.
pub struct Socket {
    stream: TcpStream,
    tls: Option<Box<tls::Session>>,
}

impl Socket {
    /// Starts to connect; never blocks. Readiness to write says that it is decided, see [`Socket::connected`].
    pub fn connect(address: SocketAddr, options: &SocketOptions) -> io::Result<Self> {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM.cloexec().nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
        socket.set_tcp_keepalive(&keepalive())?;
        socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { stream: TcpStream::from_std(socket.into()), tls: None })
    }

    /// Takes over a connection that a listener accepted: small answers leave at once, and a peer
    /// that vanished is noticed after about 20 s of silence.
    pub fn accepted(stream: TcpStream) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive())?;
        Ok(Self { stream, tls: None })
    }

    /// Encrypts all that is sent and received from now on; before the first byte of either.
    pub fn encrypt(&mut self, session: tls::Session) {
        self.tls = Some(Box::new(session));
    }

    /// Our own address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Whether the connection stands, with TLS's handshake where there is one: `Ok(false)` while it is
    /// undecided, an error when it failed. To be asked again whenever the socket is ready.
    pub fn connected(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => match &mut self.tls {
                Some(tls) => tls.handshake(&self.stream),
                None => Ok(true),
            },
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes as much of `pieces` as the kernel takes now; `Ok(None)` where it takes nothing. Then the next
    /// call must begin with the same bytes: TLS may have encrypted them already.
    pub fn send(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            Some(tls) => tls.send(&self.stream, pieces),
            None => retry(|| send(&self.stream, pieces)),
        }
    }

    /// Reads what is there; `Ok(None)` where nothing is, `Ok(Some(0))` at the peer's end. With TLS an
    /// end that the peer did not announce is an error.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match &mut self.tls {
            Some(tls) => tls.receive(&self.stream, buffer),
            None => retry(|| (&self.stream).read(buffer)),
        }
    }

    /// Writes what TLS has to say of its own, as far as the kernel takes it now.
    pub fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(&self.stream).map(drop),
            None => Ok(()),
        }
    }

    /// Says farewell where the protocol has a word for it; the socket is to be dropped then.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close(&self.stream);
        }
    }

    /// What readiness is watched on.
    pub fn source(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// One `sendmsg`, which raises no signal.
pub(super) fn send(stream: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    SockRef::from(stream).send_vectored_with_flags(pieces, libc::MSG_NOSIGNAL)
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES)
}

/// `None` where the call would block; interrupted ones are made again.
pub(super) fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const OPTIONS: SocketOptions = SocketOptions { user_timeout: Duration::from_secs(5) };

    /// Calls `ready` until it yields something; the deadline makes a hang a failure.
    fn wait_for<T>(mut ready: impl FnMut() -> Option<T>) -> T {
        for _ in 0..10_000 {
            if let Some(value) = ready() {
                return value;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the condition did not come true within 10 s");
    }

    #[test]
    fn pieces_arrive_in_order_and_a_closed_peer_is_an_error_not_a_signal() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut socket = Socket::connect(listener.local_addr().unwrap(), &OPTIONS).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        wait_for(|| socket.connected().unwrap().then_some(()));
        let pieces = [IoSlice::new(b"head "), IoSlice::new(b"body")];
        assert_eq!(wait_for(|| socket.send(&pieces).unwrap()), 9);
        let mut received = [0; 9];
        peer.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"head body");
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        let error = wait_for(|| socket.send(&pieces).err());
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn a_refused_connection_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let outcome = Socket::connect(address, &OPTIONS);
        let error = match outcome {
            Err(error) => error,
            Ok(mut socket) => wait_for(|| socket.connected().err()),
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
