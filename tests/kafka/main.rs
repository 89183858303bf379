//! `kafka://` against software that other people wrote: Apache Kafka of two releases, kfake, librdkafka's mock
//! cluster. What was accepted is read back by a consumer that is not ours.
//!
//! `tests/peers/setup.sh` installs them. Where a registry is out of reach, the tests that need it are
//! skipped and say so. Counts: `TEST_FACTOR`, tests/support/scale.rs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chaos;
mod dump;
mod example;
mod injected;
mod keyed;
mod last_sequences;
mod moved;
mod peers;
mod poison;
mod real;
mod records;
mod relay;
mod remade;
mod secured;
mod slow;
#[path = "../support/mod.rs"]
mod support;
