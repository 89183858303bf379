//! A process of ours that plays an application in a way of its own: this test binary, started again with the name of
//! one test and its orders in the environment. Killed by an alarm where it hangs.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;

use crate::support::oracle::Accepted;
use crate::support::payload::Texts;
use crate::support::witness::Witness;

const URL: &str = "FAULTS_HOST_URL";
const WITNESS: &str = "FAULTS_HOST_WITNESS";
const SEED: &str = "FAULTS_HOST_SEED";
const KIND: &str = "FAULTS_HOST_KIND";
/// Another limit than that of [`seconds_max`].
pub const SECONDS_MAX: &str = "FAULTS_HOST_SECONDS_MAX";

/// Slots of a witness for each run: its threads at most.
pub const THREADS_MAX: usize = 8;

/// What a host is told.
pub struct Orders {
    pub url: String,
    pub witness: Witness,
    pub seed: u64,
    /// Which of the row's ways it goes.
    pub kind: String,
}

/// The command that starts a host: `test` is the path of its test.
pub fn command(test: &str, url: &str, witness: &Path, seed: u64, kind: &str) -> Command {
    let mut command = Command::new("timeout");
    let seconds = seconds_max().to_string();
    command.args(["--signal=KILL", &seconds]).arg(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(URL, url).env(WITNESS, witness).env(KIND, kind).env(SEED, seed.to_string());
    command.stdout(Stdio::null());
    command
}

/// After so many seconds a host hangs: far more than it takes on a machine with other work.
pub fn seconds_max() -> u32 {
    std::env::var(SECONDS_MAX).map_or(600, |seconds| seconds.parse().unwrap())
}

/// Runs a host to its end; fails unless its exit code is `expected`.
pub fn run(mut command: Command, expected: i32) -> Output {
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{:?}: {text}", output.status);
    output
}

/// The orders of this process; none where it is no host.
pub fn orders() -> Option<Orders> {
    Some(Orders {
        url: std::env::var(URL).ok()?,
        witness: Witness::open(&PathBuf::from(std::env::var_os(WITNESS)?)),
        seed: std::env::var(SEED).ok()?.parse().ok()?,
        kind: std::env::var(KIND).ok()?,
    })
}

/// A client of this URL.
pub fn client(url: &str) -> Client {
    Client::start(&Config::from_url(url).unwrap()).unwrap()
}

/// One thread of one run that logs and is witnessed.
pub struct Voice<'a> {
    witness: &'a Witness,
    slot: usize,
    texts: Texts,
    sequence: u64,
}

impl<'a> Voice<'a> {
    pub fn new(witness: &'a Witness, run: u32, thread: u16) -> Self {
        let slot = run as usize * THREADS_MAX + thread as usize;
        Self { witness, slot, texts: Texts::new(run, thread), sequence: 0 }
    }

    /// Logs the next record; waits while there is no room or the rings are being made. What else is answered
    /// is returned, and the record is not accepted.
    pub fn log(&mut self, client: &Client) -> Result<(), Code> {
        let text = self.texts.text(self.sequence);
        loop {
            match client.log(Severity::Info, text) {
                Ok(()) => break,
                Err(Code::RingFull | Code::SpoolFull | Code::Starting) => std::thread::yield_now(),
                Err(code) => return Err(code),
            }
        }
        self.sequence += 1;
        self.witness.store(self.slot, self.sequence);
        Ok(())
    }
}

/// What the runs `0..runs` of a witness had been promised.
pub fn promised(witness: &Witness, runs: u32, may_be_one_more: bool) -> Vec<Accepted> {
    let by_thread = |run: u32| {
        let first = run as usize * THREADS_MAX;
        (first..first + THREADS_MAX).map(|slot| witness.read(slot)).collect()
    };
    (0..runs).map(|run| Accepted { run, by_thread: by_thread(run), may_be_one_more }).collect()
}
