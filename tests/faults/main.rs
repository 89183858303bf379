//! The fault suite: what users ask of a logging library afterwards, "was anything lost?", answered for one fault
//! after the other. Real processes, signals, disks and sockets; one oracle (`support::oracle`).
//!
//! Each row of docs/guarantees.md is a test here and prints one line: fault, runs, figures, the oracle's
//! difference, the seed. `.ci/faults` runs them and prints the table. From the environment:
//!
//! | name | what it does |
//! |---|---|
//! | `TEST_FACTOR` | multiplies the runs of each row (`0.1`, `1`), or `soak` for the counts of `make soak` |
//! | `FAULTS_SEED` | repeats what a printed seed stands for |
//! | `FAULTS_REPORT` | a file to which each row's line is appended |

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod application;
mod arena;
mod backlog;
mod c_program;
mod canaries;
mod clock;
mod crash_points;
mod damage;
mod delivered;
mod disk_full;
mod exit;
mod fork;
mod host;
mod identity;
mod kill;
mod limits;
mod mount;
mod odd_file_systems;
mod oracle_fails;
mod pause;
mod power_cut;
mod receiver_kill;
mod refusals;
mod row;
mod sizes;
mod syscalls;
mod vanish;
mod wrap;
