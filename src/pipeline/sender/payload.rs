//! What is sent of a batch: its frame as it is stored, or a part that was cut from it.
//!
//! A cheap handle that keeps the bytes where they are until they are written. Knows nothing of bindings.

use std::sync::Arc;

use crate::batch::HEADER_BYTES;
use crate::batch::SplitBatch;
use crate::spool::Frame;

/// See the module's head.
#[derive(Clone)]
pub enum Payload {
    /// The whole batch, from the spool's mapping.
    Stored(Frame),
    /// A part of it, in memory: at most one for each partition that is being divided is on its way.
    Part(Arc<SplitBatch>),
}

impl Payload {
    /// The header as sealed.
    pub fn header(&self) -> [u8; HEADER_BYTES] {
        match self {
            Self::Stored(frame) => frame.header(),
            Self::Part(part) => part.sealed.header,
        }
    }

    /// The compressed records.
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Stored(frame) => frame.body(),
            Self::Part(part) => &part.body,
        }
    }

    /// CRC-32C of the body, as it was sealed.
    pub fn body_crc(&self) -> u32 {
        match self {
            Self::Stored(frame) => frame.body_crc(),
            Self::Part(part) => part.sealed.body_crc,
        }
    }

    /// How many records.
    pub fn record_count(&self) -> u32 {
        match self {
            Self::Stored(frame) => frame.record_count(),
            Self::Part(part) => part.sealed.record_count,
        }
    }

    /// Bytes on the wire.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.body().len()
    }
}
