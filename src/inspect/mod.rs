//! Read-only views of what is on disk, for the tools and for a receiver that starts.
//!
//! [`layout`] names of files, [`segment`] one file batch by batch. Nothing here changes a byte, and all
//! that is read is hostile until checked.

pub mod layout;
pub mod segment;
