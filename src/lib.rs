//! logdrive.

pub mod checksum;
pub mod config;
pub mod error;
pub mod ids;
