//! An application that logs, in a process of its own, so that it can be killed.
//!
//! The test binary starts itself again with its one test `application::application` and its orders in the
//! environment. Payloads are a function of (run, thread, sequence); a witness holds, per thread, how many
//! records were accepted. Kill it: the witness stays.

use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use logdrive::Client;
use logdrive::Code;
use logdrive::Config;
use logdrive::Severity;

use crate::support::oracle::Accepted;
use crate::support::payload::Texts;
use crate::support::wait;
use crate::support::witness::Witness;

pub const THREADS: usize = 4;

const RUN: &str = "APPLICATION_RUN";
const URL: &str = "APPLICATION_URL";
const WITNESS: &str = "APPLICATION_WITNESS";
const RECORDS: &str = "APPLICATION_RECORDS_PER_THREAD";
/// How long closing may take, in seconds, where what cannot be delivered then may be left to an heir.
pub const CLOSE_SECONDS: &str = "APPLICATION_CLOSE_SECONDS";
/// Behind the threads' own slots: records that were refused for want of room,
const REFUSED_SLOT: usize = THREADS;
/// the test's wish that it logs no more and closes,
const STOP_SLOT: usize = THREADS + 1;
/// and, when it has closed, the records of others that it found and delivered.
const ADOPTED_SLOT: usize = THREADS + 2;
const SLOTS: usize = THREADS + 3;

/// A running application; killed when dropped.
pub struct Application {
    child: Child,
    run: u32,
    witness: Witness,
}

impl Application {
    /// Starts one that logs to `url` until it is killed, or `records` per thread and closes.
    pub fn start(run: u32, url: &str, witness: &Path, records: Option<u64>) -> Self {
        Self::start_with(run, url, witness, records, &[])
    }

    /// As [`Application::start`], with more in its environment.
    pub fn start_with(
        run: u32,
        url: &str,
        path: &Path,
        records: Option<u64>,
        environment: &[(&str, &str)],
    ) -> Self {
        // Absent where it is the first one of its name.
        let _removed = std::fs::remove_file(path);
        let witness = Witness::create(path, SLOTS);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["application::application", "--exact", "--nocapture"]).stdout(Stdio::null());
        command.env(RUN, run.to_string()).env(URL, url).env(WITNESS, path);
        command.env(RECORDS, records.unwrap_or(u64::MAX).to_string());
        command.envs(environment.iter().copied());
        Self { child: command.spawn().unwrap(), run, witness }
    }

    /// Records that were accepted so far.
    pub fn accepted(&self) -> u64 {
        (0..THREADS).map(|thread| self.witness.read(thread)).sum()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The signal that ended it, once it has ended.
    pub fn ended_by_signal(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.child.wait().unwrap().signal()
    }

    /// Whether every thread of it is stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks.flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status"));
            status.is_ok_and(|status| status.contains("State:\tT"))
        })
    }

    /// Waits until `count` records were accepted.
    pub fn wait_for(&mut self, count: u64) {
        wait::until("the application logs", || {
            assert!(self.is_running(), "the application has ended");
            self.accepted() >= count
        });
    }

    /// SIGKILL; what it had accepted.
    pub fn kill(self) -> Accepted {
        self.kill_and_count().0
    }

    /// SIGKILL; what it had accepted, and how many records were refused for want of room.
    pub fn kill_and_count(mut self) -> (Accepted, u64) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.promised(true), self.witness.read(REFUSED_SLOT))
    }

    /// Lets it log no more, close and end; what it had accepted.
    pub fn stop(self) -> Accepted {
        self.ask_to_stop();
        self.finish()
    }

    /// Lets it log no more, close and end.
    pub fn ask_to_stop(&self) {
        self.witness.store(STOP_SLOT, 1);
    }

    /// Waits until it has closed its client and ended; what it had accepted.
    pub fn finish(self) -> Accepted {
        self.finish_and_count().0
    }

    /// As [`Application::finish`]; and how many records of dead processes it delivered.
    pub fn finish_and_count(mut self) -> (Accepted, u64) {
        wait::until("the application ends", || !self.is_running());
        assert!(self.child.wait().unwrap().success());
        (self.promised(false), self.witness.read(ADOPTED_SLOT))
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn promised(&self, may_be_one_more: bool) -> Accepted {
        let mut by_thread = self.witness.read_all();
        by_thread.truncate(THREADS);
        Accepted { run: self.run, by_thread, may_be_one_more }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The application itself: what the test `application::application` runs; without orders nothing.
pub fn run() {
    let Ok(run) = std::env::var(RUN) else { return };
    let run = run.parse().unwrap();
    let records: u64 = std::env::var(RECORDS).unwrap().parse().unwrap();
    let witness = Witness::open(Path::new(&std::env::var_os(WITNESS).unwrap()));
    let config = Config::from_url(&std::env::var(URL).unwrap()).unwrap();
    let client = Client::start(&config).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, witness) = (&client, &witness);
            scope.spawn(move || log_all(client, witness, run, thread, records));
        }
    });
    let hurry = std::env::var(CLOSE_SECONDS).map(|text| text.parse().unwrap());
    let deadline = hurry.as_ref().map_or(wait::PATIENCE, |seconds| Duration::from_secs(*seconds));
    let stats = match client.close(deadline) {
        Err(error) if hurry.is_ok() && error.code() == Code::DeadlineExceeded => return,
        closed => closed.unwrap(),
    };
    assert_eq!((stats.panics, stats.malformed), (0, 0), "{stats:?}");
    witness.store(ADOPTED_SLOT, stats.sender.adopted_delivered);
}

fn log_all(client: &Client, witness: &Witness, run: u32, thread: usize, records: u64) {
    let mut texts = Texts::new(run, thread as u16);
    for sequence in 0..records {
        if witness.read(STOP_SLOT) != 0 {
            return;
        }
        let text = texts.text(sequence);
        loop {
            match client.log(Severity::Info, text) {
                Ok(()) => break,
                Err(Code::RingFull | Code::SpoolFull) => {
                    witness.add(REFUSED_SLOT, 1);
                }
                Err(Code::Starting) => std::thread::yield_now(),
                Err(code) => panic!("{code}"),
            }
        }
        witness.store(thread, sequence + 1);
    }
}
