//! What the library costs a C or C++ program beside the call: size per artefact, start-up, threads, memory, and the
//! key-value call of the C++ header. `cargo bench -p logdrive-c --bench footprint`, which takes some seconds.
#![allow(clippy::unwrap_used, reason = "a bench may fail")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;

use support::Receiver;

fn main() {
    let library = support::library();
    let receiver = Receiver::start();
    let stripped = receiver.path().join("stripped.so");
    support::succeed(Command::new("strip").arg("-o").arg(&stripped).arg(&library));
    let size = |path: &std::path::Path| fs::metadata(path).unwrap().len() as f64 / 1048576.0;
    println!("liblogdrive.so {:.2} MiB, stripped {:.2} MiB", size(&library), size(&stripped));
    println!("liblogdrive.a {:.2} MiB", size(&library.with_extension("a")));
    // Rings and spool on tmpfs, as they are by default.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let url = receiver.url();
    let (address, _) = url.split_once('?').unwrap();
    let url = format!("{address}?ring.dir={}", memory.path().display());
    for source in ["../benches/footprint.c", "../benches/key_values.cpp"] {
        let program = support::compile(source, &["-O2"], receiver.path());
        print!("{}", support::succeed(Command::new(program).arg(&url)));
    }
}
