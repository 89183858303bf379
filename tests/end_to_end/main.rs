//! The whole path with real processes and sockets: what was accepted is what comes out of the receivers' files,
//! each record once, whatever is killed, cut, refused or closed meanwhile.
//!
//! The oracle is reference/reliability.md's: every accepted record is delivered or named (conservation),
//! nothing else is (no phantom, no garbage), once after de-duplication (unique), in order per thread.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod application;
mod bad_input;
mod closing;
mod dead_letters;
mod events;
mod full_disk;
mod heirs;
mod lines;
mod network;
mod order;
mod ship;
mod ship_stuck;
mod signals;
mod threads;
mod topics;
mod two_of_a_name;
