//! `kafka://` against software that other people wrote: Apache Kafka of two releases, kfake, librdkafka's mock
//! cluster. What was accepted is read back by a consumer that is not ours.
//!
//! `tests/peers/setup.sh` installs them. Where a registry is out of reach, the tests that need it are
//! skipped and say so. Counts: `TEST_FACTOR`, tests/support/scale.rs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/certificates.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod certificates;
mod chaos;
mod dump;
mod injected;
mod keyed;
mod moved;
mod peers;
mod poison;
mod real;
mod records;
mod relay;
#[path = "../support/scale.rs"]
mod scale;
mod secured;
mod slow;
