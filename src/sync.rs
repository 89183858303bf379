//! Atomics of std, or of loom when built with `--cfg loom`: the one place that chooses.
//!
//! Only code that loom checks takes its atomics from here; words inside mappings are always std's
//! (loom cannot place its own in a mapping).

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU32;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU64;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::Ordering;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicU32;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::Ordering;
