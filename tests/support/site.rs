//! A place for one test: directories of its own, configurations in them, and what receivers stored.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use logdrive::Client;
use logdrive::Config;
use logdrive::Snapshot;
use tempfile::TempDir;

use crate::support::wait;

/// See the module's head. Removed when dropped.
pub struct Site {
    memory: TempDir,
    disk: TempDir,
}

impl Site {
    /// A fresh one: rings and spools on the tmpfs where there is one, receivers on the disk.
    pub fn new() -> Self {
        let shared_memory = Path::new("/dev/shm");
        let memory = if shared_memory.is_dir() {
            TempDir::with_prefix_in("logdrive-test-", shared_memory)
        } else {
            TempDir::new()
        };
        let disk = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"));
        Self { memory: memory.unwrap(), disk: disk.unwrap() }
    }

    /// The directory of the rings, and of spools without a directory of their own.
    pub fn ring_dir(&self) -> PathBuf {
        self.memory.path().join("ring")
    }

    /// A directory for spools on a disk.
    pub fn spool_dir(&self) -> PathBuf {
        self.disk.path().join("spool")
    }

    /// The directory of a receiver.
    pub fn receiver_dir(&self, number: usize) -> PathBuf {
        self.disk.path().join(format!("receiver-{number}"))
    }

    /// A directory on a disk for files of the test's own.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// A path for a file of the test's own.
    pub fn file(&self, name: &str) -> PathBuf {
        self.disk.path().join(name)
    }

    /// A path for a file of the test's own in memory, where there is a tmpfs.
    pub fn memory_file(&self, name: &str) -> PathBuf {
        self.memory.path().join(name)
    }

    /// A URL for `hosts`, with options that make a test quick: slots in this site, short pauses.
    pub fn url(&self, hosts: &[impl ToString], options: &str) -> String {
        self.url_with_scheme("receivers", hosts, options)
    }

    /// As [`Site::url`], of another scheme.
    pub fn url_with_scheme(&self, scheme: &str, hosts: &[impl ToString], options: &str) -> String {
        self.url_of(scheme, "lines", hosts, options)
    }

    /// As [`Site::url`], of another topic.
    pub fn url_of_topic(&self, topic: &str, hosts: &[impl ToString], options: &str) -> String {
        self.url_of("receivers", topic, hosts, options)
    }

    fn url_of(&self, scheme: &str, topic: &str, hosts: &[impl ToString], options: &str) -> String {
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let (hosts, ring) = (hosts.join(","), self.ring_dir());
        let (ring, amp) = (ring.display(), if options.is_empty() { "" } else { "&" });
        let quick = format!("ring.dir={ring}&backoff.min=5ms&backoff.max=200ms");
        format!("{scheme}://{hosts}/{topic}?{quick}{amp}{options}")
    }

    /// A client for `hosts`.
    pub fn client(&self, hosts: &[impl ToString], options: &str) -> Client {
        Client::start(&Config::from_url(&self.url(hosts, options)).unwrap()).unwrap()
    }

    /// The slots below `root`, of whatever name.
    pub fn slots(&self, root: &Path) -> Vec<PathBuf> {
        let Ok(names) = fs::read_dir(root) else { return Vec::new() };
        let below = |name: fs::DirEntry| fs::read_dir(name.path()).unwrap().flatten();
        names.flatten().flat_map(below).map(|slot| slot.path()).collect()
    }

    /// The slots that are left in the ring directory and in `spool_dir`, and what is in them.
    pub fn slots_left(&self, spool_dir: &Path) -> Vec<PathBuf> {
        let slots = [self.slots(&self.ring_dir()), self.slots(spool_dir)].concat();
        let inside = entries_below(slots.clone());
        [slots, inside].concat()
    }

    /// Every file and directory that slots left behind, by its path.
    pub fn files_left(&self) -> Vec<PathBuf> {
        entries_below(vec![self.ring_dir(), self.spool_dir()])
    }

    /// Opens a client of the given URL, lets it deliver what dead processes left, and closes it.
    pub fn drain(&self, url: &str) -> Snapshot {
        let client = Client::start(&Config::from_url(url).unwrap()).unwrap();
        wait::until("everything that was left is delivered", || {
            let sender = client.stats().sender;
            sender.adoption_done && sender.adopted_slots == 0 && sender.stored == 0
        });
        client.close(wait::PATIENCE).unwrap()
    }
}

/// Every file and directory below these directories.
fn entries_below(mut dirs: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            dirs.extend(path.is_dir().then(|| path.clone()));
            found.push(path);
        }
    }
    found
}

/// Bytes of all files below `dir`.
pub fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_vanished) => 0,
        })
        .sum()
}

/// What `logdrive cat` prints of these directories.
pub fn cat(dirs: &[PathBuf], arguments: &[&str]) -> Vec<u8> {
    let (code, out) = run("cat", dirs, arguments);
    assert_eq!(code, Some(0), "cat");
    out
}

/// The lines that `logdrive cat` prints of these directories.
pub fn cat_lines(dirs: &[PathBuf]) -> Vec<Vec<u8>> {
    let out = cat(dirs, &[]);
    let mut lines: Vec<Vec<u8>> = out.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    assert_eq!(lines.pop(), Some(Vec::new()), "the output ends with a newline");
    lines
}

/// Fails unless `found` is `expected`, line by line; says where it first is not.
pub fn assert_same_lines(found: &[Vec<u8>], expected: &[Vec<u8>]) {
    let first = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let Some(at) = first else { return assert_eq!(found.len(), expected.len(), "lines") };
    let show = |lines: &[Vec<u8>]| {
        let around = &lines[at.saturating_sub(1)..lines.len().min(at + 2)];
        around.iter().map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    let (found_around, expected_around) = (show(found), show(expected));
    panic!(
        "{} lines, {} expected; at {at} {found_around:#?} instead of {expected_around:#?}",
        found.len(),
        expected.len()
    );
}

/// Fails unless `logdrive verify` agrees; what it says.
pub fn verify(dirs: &[PathBuf]) -> String {
    let (code, out) = run("verify", dirs, &["--json"]);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(code, Some(0), "verify says {text}");
    text
}

/// The exit code of a command of `logdrive` about these directories, and what it prints.
pub fn run(command: &str, dirs: &[PathBuf], arguments: &[&str]) -> (Option<i32>, Vec<u8>) {
    let output = Command::new(env!("CARGO_BIN_EXE_logdrive"))
        .arg(command)
        .args(dirs)
        .args(arguments.iter().map(OsStr::new))
        .output()
        .unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), output.stdout)
}
