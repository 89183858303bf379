//! `log`, `tracing` and `slog` over a client, to a real receiver: what was logged is what is stored, whatever is killed
//! meanwhile, and nothing that logs while it is logged can feed on itself.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod conservation;
mod contents;
mod example;
mod reentrance;
