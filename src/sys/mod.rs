//! What needs the operating system's raw interface.
pub mod mapping;
pub mod tsc;
