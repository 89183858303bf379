//! What the bindings over native code have in common: C's (`bindings/c`) and Java's (`bindings/java/native`).
//!
//! Owns the wall that no panic passes (`guard`), what is kept for a client that is open (`client`), the flush at the
//! end of the process (`exit`), and each thread's memory of its loggers (`recent`). Knows neither language: what a
//! handle looks like and where it is looked up is the binding's.

pub mod client;
pub mod exit;
pub mod guard;
pub mod recent;
