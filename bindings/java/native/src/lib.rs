//! The native half of the Java binding: what `io.logdrive.Native` declares, and nothing else.
//!
//! ```text
//! io.logdrive.Native --> entries (client, log, stats) --> guard --> handles --> logdrive
//! ```
//!
//! Only numbers and `byte[]` cross: no string, no class or field is looked up, no local reference is kept, and no
//! thread of ours is ever attached to the JVM. Invariants: no panic leaves an entry (`guard` of `bindings/shared`);
//! a handle is a number looked up in a table, never an address; a log call is one claim, copy and commit within one
//! native frame, in which a virtual thread cannot change its carrier.

mod arrays;
mod attributes;
pub mod client;
mod handles;
pub mod log;
pub mod stats;
