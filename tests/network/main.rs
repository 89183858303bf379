//! Whole fleets in a network namespace of the test's own: black holes, frozen peers, slow links, name servers,
//! ZooKeeper, HAProxy.
//!
//! Needs root, `ip`, `nft` and what tests/peers/setup.sh installs. Each test prints its figures; limits of time are
//! multiplied by `NETWORK_SLACK` (default 4, for machines that do something else; 1 on a quiet one). Counts:
//! `TEST_FACTOR`, tests/support/scale.rs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod balance;
mod discovery;
mod namespace;
mod outage;
mod producer;
mod storm;
#[path = "../support/mod.rs"]
mod support;
