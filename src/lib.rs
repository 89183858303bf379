//! logdrive.

pub mod checksum;
pub mod error;
pub mod ids;

#[doc(hidden)]
pub mod sys;
