//! logdrive.

pub mod batch;
pub mod checksum;
pub mod clock;
pub mod error;
pub mod ids;
#[cfg(feature = "cli")]
pub mod inspect;
pub mod proto;
#[cfg(feature = "cli")]
pub mod receiver;
