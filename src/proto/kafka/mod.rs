//! Kafka's protocol as a producer and a small receiver need it.
//!
//! [`wire`] owns the bytes of every message; `errors` what each error code means for a batch;
//! `server` which requests our receiver understands. Nothing here looks into a record batch: it is
//! 61 bytes of header and an opaque body.

pub mod broker;
pub mod client;
pub mod errors;
pub mod murmur2;
pub mod sequence;
pub mod server;
pub mod wire;
