//! What the benches share: the machine's line, the corpus, a receiver's process, what a process used.
//!
//! Every measured run is a process of its own (this executable again, told so by its first argument), so that
//! neither memory nor CPU time of one run shows up in the next.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

pub mod shipping;

/// Bytes of a corpus: far above any codec's window, and less than the last-level cache.
const CORPUS_BYTES: usize = 16 << 20;
/// `USER_HZ`, the unit of CPU time in `/proc/<pid>/stat`; 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU model, cores, kernel and compiler, for the head of a table.
pub fn machine() -> String {
    let first_line = |path: &str, start: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_default();
        line.trim_start_matches(start).trim_start_matches(['\t', ' ', ':']).to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = first_line("/proc/cpuinfo", "model name");
    let kernel = first_line("/proc/sys/kernel/osrelease", "");
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map_or_else(|_| "rustc unknown".into(), |out| out.stdout);
    let rustc = String::from_utf8_lossy(&rustc).trim().to_owned();
    let load = first_line("/proc/loadavg", "");
    format!("{model}, {cores} cores, Linux {kernel}, {rustc}; load average {load}")
}

/// Options as `--name value` or `--flag`; what cargo adds by itself is ignored.
pub struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads the command line; an option that is not in `known` ends the program with their list.
    pub fn read(known: &[&str]) -> Self {
        let mut given = Vec::new();
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench").peekable();
        while let Some(word) = words.next() {
            let name = word.trim_start_matches("--").to_owned();
            if !known.contains(&name.as_str()) {
                eprintln!("unknown option {word}: use --{}", known.join(", --"));
                std::process::exit(2);
            }
            let value = words.next_if(|next| !next.starts_with("--")).unwrap_or_default();
            given.push((name, value));
        }
        Self { given }
    }

    /// The value of `name`, empty for a flag; none where it was not given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether `name` was given.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The comma-separated values of `name`, or those of `default`.
    pub fn list<T: std::str::FromStr>(&self, name: &str, default: &str) -> Vec<T> {
        let text = self.value(name).unwrap_or(default);
        let parse =
            |part: &str| part.parse().unwrap_or_else(|_| panic!("--{name} {text}: {part}?"));
        text.split(',').map(parse).collect()
    }
}

/// Lines of exactly `line_bytes` bytes, back to back, about 16 MiB of them.
///
/// Lines of `../shared/data/loghub` in their order where it is there, made-up ones otherwise. A line too long is
/// cut, one too short is joined with those behind it, so every record begins as a line begins. The files hold
/// 3.5 MB, so nothing repeats within the 64 KiB that LZ4 looks back.
pub fn corpus(line_bytes: usize) -> Vec<u8> {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let beside = ["../shared/data/loghub", "../../../shared/data/loghub"];
    let folder = std::env::var_os("LOGHUB")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside.map(|folder| PathBuf::from(manifest).join(folder)))
        .find(|folder| folder.is_dir());
    let mut text = Vec::new();
    let mut paths: Vec<PathBuf> = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    paths.iter().for_each(|path| text.extend(fs::read(path).unwrap_or_default()));
    if text.is_empty() {
        eprintln!("the loghub files are not there (set LOGHUB): made-up lines instead");
        text = (0..60_000).flat_map(|number| made_up_line(number).into_bytes()).collect();
    }
    let mut corpus = Vec::with_capacity(CORPUS_BYTES + line_bytes);
    let mut record = Vec::new();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for line in lines.cycle() {
        record.extend_from_slice(line);
        if record.len() < line_bytes {
            record.push(b' ');
            continue;
        }
        corpus.extend_from_slice(&record[..line_bytes]);
        record.clear();
        if corpus.len() >= CORPUS_BYTES {
            break;
        }
    }
    corpus
}

fn made_up_line(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    format!(
        "2026-11-20 11:{:02}:{:02} INFO dfs.DataNode$PacketResponder: Received block blk_{mixed} \
         of size {number} from /10.250.{}.{}\n",
        number / 60 % 60,
        number % 60,
        mixed % 256,
        mixed / 256 % 256
    )
}

/// A receiver in a process of its own, its files on tmpfs; both are gone when it is dropped.
pub struct Receiver {
    child: Child,
    dir: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What a receiver did in its life.
pub struct Received {
    /// Records that it stored.
    pub records: u64,
    /// User and system time, in seconds.
    pub cpu_seconds: f64,
}

impl Receiver {
    /// Starts `command` with the arguments of `logdrive receive` and waits until it listens.
    pub fn start(mut command: Command, validate: &str) -> Self {
        let root = if fs::exists("/dev/shm").unwrap_or(false) { "/dev/shm" } else { "/tmp" };
        let dir = PathBuf::from(format!("{root}/logdrive-bench-{}", std::process::id()));
        let mut child = command
            .args(["receive", "--listen", "127.0.0.1:0", "--validate", validate, "--dir"])
            .arg(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the receiver can be started");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("it was piped");
        BufReader::new(out).read_line(&mut line).expect("its output can be read");
        let address = line.trim().strip_prefix("listening on ").and_then(|text| text.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the receiver said {line:?}"));
        Self { child, dir, address }
    }

    /// Stops it and says what it did.
    pub fn stop(mut self) -> Received {
        let cpu_seconds = cpu_seconds(&self.child.id().to_string());
        let id = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.is_ok_and(|status| status.success()), "the receiver is still there");
        let mut text = String::new();
        let err = self.child.stderr.as_mut().expect("it was piped");
        err.read_to_string(&mut text).expect("its summary can be read");
        let number = text.strip_prefix("received ").and_then(|rest| rest.split(' ').next());
        let records = number.and_then(|number| number.parse().ok());
        let records = records.unwrap_or_else(|| panic!("the receiver said {text:?}"));
        Received { records, cpu_seconds }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended already, and its files with it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        let _removed = fs::remove_dir_all(&self.dir);
    }
}

/// User and system time of a process so far, all its threads, those that ended too; to 10 ms.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything, utime and stime are the 12th and 13th words.
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let words = behind_name.split_whitespace().skip(11).take(2);
    words.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// Resident MiB of this process without shared memory on tmpfs, which is what arenas and segments are there.
pub fn private_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0)
    };
    (kib("RssAnon:") + kib("RssFile:")) / 1024.0
}

/// Median of `values`, which are sorted by it.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
