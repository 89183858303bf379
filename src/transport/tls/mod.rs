//! TLS on a [`Socket`](crate::transport::Socket): who is trusted, who we are, and the encrypted bytes.
//!
//! `material` is what the files say, `config` what becomes of it (a [`Connector`] or an [`Acceptor`]), `session` one
//! connection's encryption, `provider` the algorithms. rustls does the work, *ring* the arithmetic; nothing outside of
//! this folder names them.
//! Without the feature `tls` the same types are there and cannot be made (`absent`).
//!
//! Invariants: TLS 1.2 or newer; no session is resumed, so every connection verifies its peer anew; the
//! end of a stream without `close_notify` is an error; dropping a session writes nothing, so a forked
//! child that closes the parent's descriptors ends no connection of the parent's.

use thiserror::Error;

use crate::transport::private_file::Unreadable;

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod config;
mod material;
#[cfg(feature = "tls")]
mod provider;
#[cfg(feature = "tls")]
mod session;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod unverified;

#[cfg(not(feature = "tls"))]
use absent as config;
#[cfg(not(feature = "tls"))]
use absent as session;

pub use config::Acceptor;
pub use config::Connector;
pub use material::Files;
pub use material::Identity;
pub use material::Material;
pub use session::Session;

/// Encrypted bytes that one connection holds until the kernel takes them.
pub const TLS_BUFFER_BYTES_MAX: usize = 256 << 10;

/// Why TLS cannot be used as it was asked for. Holds no byte of a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TlsError {
    /// The library was built without it.
    #[error("this build of logdrive has no TLS: build it with the feature `tls`")]
    NotBuilt,
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A file holds nothing that can be used.
    #[error("the {what} cannot be used: {reason}")]
    Unusable {
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a bundle of authorities was given, nor has the system one.
    #[error("the system has no trusted certificates: name a bundle of authorities")]
    NoSystemRoots,
    /// The server's name cannot be in a certificate.
    #[error("`{0}` is neither a DNS name nor an IP address, so no certificate can hold it")]
    ServerName(String),
}

impl TlsError {
    #[cfg(feature = "tls")]
    fn unusable(what: &'static str) -> impl Fn(String) -> Self {
        move |reason| Self::Unusable { what, reason }
    }
}
