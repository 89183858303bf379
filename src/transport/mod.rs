//! Non-blocking sockets, TLS, readiness, name resolution and discovery. Knows bytes and addresses, no protocol and no
//! stage.
//!
//! Everything a session wants written goes through [`socket::Socket::send`], which never raises SIGPIPE.

pub mod command;
pub mod discovery;
pub mod host;
pub mod poller;
pub mod private_file;
pub mod resolver;
pub mod socket;
pub mod tls;

pub use poller::Poller;
pub use poller::Waker;
pub use resolver::Resolved;
pub use resolver::Resolver;
pub use socket::Socket;
pub use socket::SocketOptions;
