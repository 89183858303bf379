//! logdrive.

pub mod checksum;
pub mod error;
pub mod ids;
pub mod spool;
#[doc(hidden)]
pub mod sys;
