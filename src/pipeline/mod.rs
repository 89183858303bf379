//! pipeline
pub mod gate;
pub mod mapping;
pub mod slots;
pub mod supervise;
