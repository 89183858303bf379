//! logdrive.

pub mod batch;
pub mod checksum;
pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod record;
#[doc(hidden)]
pub mod ring;
mod sync;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod transport;
