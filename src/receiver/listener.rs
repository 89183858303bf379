//! The socket that a receiver listens on: not inherited by child processes, never blocking.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

/// Connections that the kernel queues for us; it lowers this to its own `somaxconn`.
const BACKLOG: i32 = 1024;

/// Listens on `address`; port 0 takes a free one.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // `Socket::new` sets close-on-exec.
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}
