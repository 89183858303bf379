//! The protocols, without I/O: bytes and moments in, bytes and events out.
//!
//! Nothing here opens a socket or a file, starts a thread or reads a clock; time is an argument
//! ([`crate::ids::Moment`]), so that every script of loss, delay and death runs in virtual time.
//! Each session has four families of methods: `handle_*` (what happened), commands (what is
//! wanted), `poll_*` (what to do next) and getters. What a peer sends is hostile until checked.

pub mod fleet;
pub mod kafka;
