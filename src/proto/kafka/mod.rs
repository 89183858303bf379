//! Kafka's protocol as a producer and a small receiver need it.
//!
//! [`wire`] owns the bytes of every message; [`server`] which requests our receiver understands;
//! [`client`] one connection of a producer. Beside the connection, and independent of it:
//! [`errors`] says what an error code means for a batch, [`sequence`] who owns which sequence
//! numbers, [`murmur2`] which partition a key belongs to. Nothing here looks into a record batch:
//! it is 61 bytes of header and an opaque body.

#[cfg(feature = "cli")]
pub mod broker;
pub mod client;
pub mod errors;
pub mod murmur2;
pub mod sasl;
pub mod sequence;
pub mod server;
pub mod wire;
