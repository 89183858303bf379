//! Read-only views of what is on disk, for the tools and for a receiver that starts.
//!
//! [`layout`] names of files, [`segment`] one file batch by batch, [`survey`] whose records a batch
//! holds, [`source`] all batches of several directories, [`catalogue`] where each is, in the order
//! in which to print them and without duplicates, [`records`] the records themselves, [`account`]
//! whether everything is there, [`spool`] what a sender's spool still holds. Nothing here changes a
//! byte, and all that is read is hostile until checked.

pub mod account;
pub mod catalogue;
pub mod layout;
pub mod ranges;
pub mod records;
pub mod segment;
pub mod source;
pub mod spool;
pub mod survey;

#[cfg(test)]
mod tests;
