//! SASL, as Kafka carries it: the messages of a mechanism, not how they are framed. Without I/O.
//!
//! The client's side is [`Exchange`], for PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER; the
//! server's is [`Users`], for PLAIN. Invariants: a secret is only ever held by a [`Secret`] or [`Users`], which
//! neither print nor leave it in freed memory; no error holds a byte of it; what a server says is bounded.

use thiserror::Error;

mod exchange;
#[cfg(feature = "tls")]
mod scram;
mod secret;
#[cfg(feature = "tls")]
mod users;

pub use exchange::Credentials;
pub use exchange::Exchange;
pub use exchange::Step;
#[cfg(feature = "tls")]
pub use scram::Hash;
pub use secret::Secret;
#[cfg(feature = "tls")]
pub use users::Users;
#[cfg(feature = "tls")]
pub use users::UsersError;

/// The name of the one mechanism of our own receiver.
pub const PLAIN: &str = "PLAIN";

/// Random bytes of a client's nonce.
pub const NONCE_BYTES: usize = 18;

/// Why the exchange cannot go on; the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SaslError {
    /// The mechanism is not in this build.
    #[error("this build of logdrive has no SCRAM: build it with the feature `tls`")]
    NotBuilt,
    /// A message that cannot be read, or does not belong here.
    #[error("the server's SASL message is against the protocol: {0}")]
    Malformed(&'static str),
    /// The server asks for a number of iterations that is either too weak or takes too long.
    #[error("the server asks for {0} iterations of SCRAM; accepted are 4096 to 65536")]
    Iterations(u32),
    /// The server refused in SCRAM's own words.
    #[error("the server refused the authentication")]
    Refused,
    /// The server does not know our password either: it is not who it says.
    #[error("the server's proof is wrong: it does not know the password")]
    ServerProof,
}
