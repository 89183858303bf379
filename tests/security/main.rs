//! Encrypted and authenticated connections, with real processes and sockets: bad peers get nothing, credentials
//! change under load, foreign clients write to a guarded receiver, and no secret is ever printed.
//!
//! Counts: `TEST_FACTOR`, tests/support/scale.rs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod bad_peers;
mod bad_server;
mod canary;
mod foreign;
mod guarded;
mod rotation;

use std::path::Path;
use std::path::PathBuf;

use support::ReceiverProcess;
use support::certificates::Authority;

/// A line of a record; all of them hold it, so that bytes can be searched for it.
fn line(number: u64) -> String {
    format!("payload {number} of a record")
}

fn expected(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| line(number).into_bytes()).collect()
}

/// The arguments of a receiver that is this process's host to those who trust the authority.
fn encrypted(authority: &Authority, dir: &Path, name: &str) -> Vec<String> {
    std::fs::create_dir_all(dir).unwrap();
    let (certificate, key) = authority.issue(&support::own_host().to_string()).write(dir, name);
    let pair = [("--tls-certificate", certificate), ("--tls-key", key)];
    pair.into_iter().flat_map(|(name, path)| [name.to_owned(), shown(&path)]).collect()
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The authority's certificate as a file.
fn bundle(authorities: &[&Authority], path: PathBuf) -> PathBuf {
    let pem: String = authorities.iter().map(|authority| authority.pem()).collect();
    support::certificates::write(&path, &pem);
    path
}

fn start(dir: &Path, arguments: &[String]) -> ReceiverProcess {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    ReceiverProcess::start(dir, &arguments)
}
