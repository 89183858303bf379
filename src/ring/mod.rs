//! The rings: one per thread, single producer, single consumer, in one mapped *arena* per process.
//!
//! ```text
//! thread --log()--> Producer --chunks--> Arena (MAP_SHARED, tmpfs) --Slice--> batcher (Consumer)
//! ```
//!
//! The arena is cut into chunks; a ring is a chain of chunks. Its bytes have *logical positions* that
//! rise for ever: position `p` lies in the chunk with ordinal `p / CHUNK_PAYLOAD_BYTES`. Who writes what:
//!
//! * the producer writes frames into its last chunk and then publishes them by one release-store of the ring's
//!   `tail`. On that path it reads nothing that another thread writes: a chunk is its own until it is full;
//! * the consumer copies published frames out ([`consumer::Consumer::drain`]) and, when the group that
//!   holds them is committed to the spool, stores `released` and gives whole chunks back
//!   ([`consumer::Consumer::release`]).
//!
//! So a quiet thread holds one chunk, a busy one nearly all of them, and a large record spans chunks.
//!
//! Invariants: every word of the mapping has one writer at a time (named in `layout`); nothing above
//! `tail` is ever read; nothing at or above `released` is ever reused; what is read is bounded before use,
//! because a crashed process may have left the arena. Must not know: batches, the spool, clocks.

pub mod arena;
pub mod consumer;
pub(crate) mod layout;
pub mod pool;
pub mod position;
pub mod producer;
mod raw;
pub mod registry;
pub mod slice;
mod walk;

pub use arena::Arena;
pub use arena::Options;
pub use consumer::Consumer;
pub use producer::Producer;
pub use producer::Refusal;
pub use registry::Registry;
pub use slice::Slice;

#[cfg(all(test, not(loom)))]
mod tests;
