//! An application that logs, in a process of its own, so that it can be killed.
//!
//! The test binary starts itself again, with the one test [`application`] and its orders in the environment. Payloads
//! are a function of (run, thread, sequence); a witness file holds, per thread, how many records were
//! accepted, written after each `log()` returned. Kill it: the witness stays.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;

use crate::support::random::Random;
use crate::support::wait;

pub const THREADS: usize = 4;

const RUN: &str = "E2E_RUN";
const URL: &str = "E2E_URL";
const WITNESS: &str = "E2E_WITNESS";
const RECORDS: &str = "E2E_RECORDS_PER_THREAD";

/// A running application; killed when dropped.
pub struct Application {
    child: Child,
    run: u64,
    witness: PathBuf,
}

impl Application {
    /// Starts one that logs to `url` until it is killed, or `records` per thread and closes.
    pub fn start(run: u64, url: &str, witness: &Path, records: Option<u64>) -> Self {
        fs::write(witness, [0; 8 * THREADS]).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["application::application", "--exact"]).stdout(Stdio::null());
        command.env(RUN, run.to_string()).env(URL, url).env(WITNESS, witness);
        command.env(RECORDS, records.unwrap_or(u64::MAX).to_string());
        let child = command.spawn().unwrap();
        Self { child, run, witness: witness.to_owned() }
    }

    /// Records that were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.witnessed().iter().sum()
    }

    /// Waits until `count` records were accepted.
    pub fn wait_for(&mut self, count: u64) {
        wait::until("the application logs", || {
            assert_eq!(self.child.try_wait().unwrap(), None, "the application has ended");
            self.accepted() >= count
        });
    }

    /// SIGKILL; what it had accepted.
    pub fn kill(mut self) -> Accepted {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Accepted { run: self.run, by_thread: self.witnessed(), may_be_one_more: true }
    }

    /// Waits until it has closed its client and ended; what it had accepted.
    pub fn finish(mut self) -> Accepted {
        wait::until("the application ends", || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success());
        Accepted { run: self.run, by_thread: self.witnessed(), may_be_one_more: false }
    }

    fn witnessed(&self) -> Vec<u64> {
        let bytes = fs::read(&self.witness).unwrap();
        bytes.chunks_exact(8).map(|slot| u64::from_le_bytes(slot.try_into().unwrap())).collect()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a run had accepted, thread by thread.
#[derive(Debug)]
pub struct Accepted {
    pub run: u64,
    pub by_thread: Vec<u64>,
    /// A record may be published and not yet witnessed when the kill comes.
    may_be_one_more: bool,
}

/// Fails unless `lines` are exactly what the runs had accepted: none missing, none twice, no garbage,
/// in order per thread.
pub fn check(runs: &[Accepted], lines: &[Vec<u8>]) {
    let mut next: BTreeMap<(u64, usize), u64> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ').map(str::parse::<u64>);
        let (Some(Ok(run)), Some(Ok(thread)), Some(Ok(sequence))) =
            (words.next(), words.next(), words.next())
        else {
            panic!("garbage at {place}: {text:?}");
        };
        let thread = thread as usize;
        assert_eq!(text, payload(run, thread, sequence), "garbage at {place}");
        let expected = next.entry((run, thread)).or_default();
        assert_eq!(
            sequence, *expected,
            "run {run}, thread {thread}: missing, twice or out of order"
        );
        *expected += 1;
    }
    for accepted in runs {
        for (thread, witnessed) in accepted.by_thread.iter().enumerate() {
            let delivered = next.remove(&(accepted.run, thread)).unwrap_or_default();
            let more = u64::from(accepted.may_be_one_more);
            let expected = *witnessed..=*witnessed + more;
            let run = accepted.run;
            assert!(
                expected.contains(&delivered),
                "run {run}, thread {thread}: {delivered} delivered, {witnessed} accepted"
            );
        }
    }
    assert_eq!(next, BTreeMap::new(), "records of runs that never were");
}

fn payload(run: u64, thread: usize, sequence: u64) -> String {
    let mut random = Random::new(run << 48 ^ (thread as u64) << 40 ^ sequence);
    let filler = format!("{:016x}", random.next()).repeat(random.below(20) as usize);
    format!("{run} {thread} {sequence} {filler}")
}

/// No test, but what [`Application::start`] starts; without orders it has nothing to do.
#[test]
fn application() {
    let Ok(run) = std::env::var(RUN) else { return };
    let run: u64 = run.parse().unwrap();
    let records: u64 = std::env::var(RECORDS).unwrap().parse().unwrap();
    let witness = File::options().write(true).open(std::env::var_os(WITNESS).unwrap()).unwrap();
    let config = Config::from_url(&std::env::var(URL).unwrap()).unwrap();
    let client = Client::start(&config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, witness) = (&client, &witness);
            scope.spawn(move || log_all(client, witness, run, thread, records));
        }
    });
    client.close(wait::PATIENCE).unwrap();
}

fn log_all(client: &Client, witness: &File, run: u64, thread: usize, records: u64) {
    for sequence in 0..records {
        let text = payload(run, thread, sequence);
        loop {
            match client.log(Severity::Info, &text) {
                Ok(()) => break,
                Err(Code::RingFull) => {}
                Err(code) => panic!("{code}"),
            }
        }
        let slot = 8 * thread as u64;
        witness.write_all_at(&(sequence + 1).to_le_bytes(), slot).unwrap();
    }
}
