//! logdrive.

pub mod batch;
pub mod checksum;
pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
#[doc(hidden)]
pub mod pipeline;
#[doc(hidden)]
pub mod proto;
pub mod record;
#[doc(hidden)]
pub mod ring;
pub mod stats;
mod sync;
#[doc(hidden)]
pub mod sys;
#[doc(hidden)]
pub mod transport;
