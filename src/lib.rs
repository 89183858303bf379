//! logdrive.

pub mod batch;
pub mod checksum;
pub mod error;
pub mod ids;
pub mod proto;
