//! The bytes of Kafka's messages, both directions, one file per API.
//!
//! Owns layouts and versions only; which version to speak is the session's choice. Every message
//! has `encode(&self, version, &mut Writer)` and `decode(version, &mut Reader)`, of which those
//! exist that a producer (requests out, responses in) or our receiver (the reverse) needs. Both
//! borrow: a decoded message points into the frame. Integers are big-endian. From an API's first
//! flexible version on, lengths are varints and every structure ends in tagged fields; [`Reader`]
//! and [`Writer`] know which of the two encodings they are in, so a layout is written down once.
//!
//! Layouts: apache/kafka `clients/src/main/resources/common/message/*.json`.

pub mod api_versions;
pub mod fetch;
pub mod find_coordinator;
pub mod frame;
pub mod header;
pub mod init_producer_id;
pub mod metadata;
pub mod produce;
mod reader;
pub mod sasl_authenticate;
pub mod sasl_handshake;
#[cfg(test)]
mod tests;
mod writer;

pub use header::ApiKey;
pub use header::RequestHeader;
pub use reader::Reader;
pub use reader::WireError;
pub use writer::EncodeError;
pub use writer::Writer;
