//! logdrive.

pub mod checksum;
pub mod clock;
pub mod error;
pub mod ids;
pub mod record;
pub mod ring;
mod sync;
pub mod sys;
pub mod transport;
