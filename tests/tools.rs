//! `logdrive spool` and `logdrive drain`, on what real processes left when they were killed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use logdrive::clock::Clock;

use support::DEADLINE;
use support::ReceiverProcess;
use support::logdrive;

/// A `logdrive ship` that reads what it is told; killed when dropped.
struct Ship {
    child: Child,
}

impl Ship {
    fn start(url: &str, spool: &Path, name: &str) -> Self {
        let (name, rings) = (format!("name={name}"), rings_of(spool));
        let child = Command::new(env!("CARGO_BIN_EXE_logdrive"))
            .args(["ship", "--to", url, "--set", &name, "--set", &rings, "--spool"])
            .arg(spool)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child }
    }

    fn write(&mut self, lines: &[String]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Ship {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn lines(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|number| format!("line {number} \u{e9}\r")).collect()
}

/// Beside the spool, so that a test leaves nothing in the system's shared memory.
fn rings_of(spool: &Path) -> String {
    format!("ring.dir={}-rings", path(spool))
}

/// A port that was just free, and nobody listens there.
fn unreachable_url() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("receivers://127.0.0.1:{port}/app")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn spool(dir: &Path) -> Output {
    logdrive(&["spool", path(dir), "--json"])
}

fn drain(dir: &Path, url: &str) -> Output {
    let rings = rings_of(dir);
    let deadline = ["--deadline", "10s", "--json"];
    logdrive(&[&["drain", path(dir), "--to", url, "--set", &rings][..], &deadline].concat())
}

/// Looks again until the output has `fact`.
fn wait_for(fact: &str, look: impl Fn() -> Output) -> String {
    let clock = Clock::start();
    loop {
        let found = text(&look().stdout);
        if found.contains(fact) {
            return found;
        }
        assert!(clock.moment().0 < DEADLINE.as_nanos() as u64, "{fact} never came: {found}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn cat(dir: &Path) -> Vec<String> {
    let output = logdrive(&["cat", path(dir)]);
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    printed.split_terminator('\n').map(str::to_owned).collect()
}

/// Every file below `dir` with its bytes.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let place = entry.unwrap().path();
        if place.is_dir() {
            found.extend(contents(&place));
        } else {
            found.push((path(&place).to_owned(), std::fs::read(&place).unwrap()));
        }
    }
    found.sort();
    found
}

/// `logdrive verify DIR | head -1`, with a reader that leaves before anything is printed.
#[test]
fn a_reader_that_leaves_changes_no_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    let nowhere = "receivers://127.0.0.1:1/logs";
    let commands: [(&[&str], i32); 4] = [
        (&["spool", empty], 0),
        (&["verify", empty], 1),
        (&["drain", empty, "--to", nowhere, "--json"], 0),
        (&["ship", "--to", nowhere, "--spool", empty, "--json"], 0),
    ];
    for (arguments, code) in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdrive"));
        command.args(arguments).stdin(Stdio::null()).stdout(closed_pipe()).stderr(closed_pipe());
        assert_eq!(command.status().unwrap().code(), Some(code), "{arguments:?}");
    }
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn what_a_killed_process_left_is_shown_and_drained() {
    let dir = tempfile::tempdir().unwrap();
    let (spool_dir, received) = (dir.path().join("spool"), dir.path().join("received"));
    let mut first = Ship::start(&unreachable_url(), &spool_dir, "one");
    let mut second = Ship::start(&unreachable_url(), &spool_dir, "two");
    first.write(&lines(0, 300));
    second.write(&lines(300, 320));
    wait_for("\"records\":300", || spool(&spool_dir));
    wait_for("\"records\":20,", || spool(&spool_dir));
    let alive = text(&spool(&spool_dir).stdout);
    assert!(alive.contains("\"owner\":\"alive\"") && !alive.contains("dead"), "{alive}");
    first.kill();
    second.kill();
    let before = contents(&spool_dir);
    let dead = text(&spool(&spool_dir).stdout);
    assert!(dead.contains("\"owner\":\"dead\"") && !dead.contains("alive"), "{dead}");
    for fact in ["\"records\":300", "\"records\":20,", "\"bound\":[]", "\"problems\":[]"] {
        assert!(dead.contains(fact), "{fact} is not in {dead}");
    }
    let table = text(&logdrive(&["spool", path(&spool_dir)]).stdout);
    assert!(table.contains("owner dead\n  waiting  300 records in"), "{table}");
    assert_eq!(contents(&spool_dir), before, "looking changes nothing");

    let receiver = ReceiverProcess::start(&received, &[]);
    let drained = drain(&spool_dir, &format!("receivers://{}/app", receiver.address));
    let summary = text(&drained.stdout);
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    for fact in ["\"delivered\":320,", "\"stored\":0,", "\"slots\":{\"dead\":2,\"alive\":0"] {
        assert!(summary.contains(fact), "{fact} is not in {summary}");
    }
    let mut found = cat(&received);
    found.sort();
    let mut expected = lines(0, 320);
    expected.sort();
    assert_eq!(found, expected);
    assert!(text(&spool(&spool_dir).stdout).ends_with("\"slots\":[]}\n"), "the slots are gone");
    let nothing = drain(&spool_dir, &unreachable_url());
    assert_eq!(nothing.status.code(), Some(0), "nothing to do is done: {nothing:?}");
}

#[test]
fn only_what_was_not_delivered_before_the_kill_counts_as_drained() {
    let dir = tempfile::tempdir().unwrap();
    let (spool_dir, received) = (dir.path().join("spool"), dir.path().join("received"));
    let receiver = ReceiverProcess::start(&received, &[]);
    let url = format!("receivers://{}/app", receiver.address);
    let mut ship = Ship::start(&url, &spool_dir, "app");
    ship.write(&lines(0, 100));
    wait_for("line 99 ", || logdrive(&["cat", path(&received)]));
    wait_for("\"records\":0", || spool(&spool_dir));
    receiver.kill();
    ship.write(&lines(100, 107));
    wait_for("\"records\":7", || spool(&spool_dir));
    ship.kill();
    let receiver = ReceiverProcess::start(&received, &[]);
    let drained = drain(&spool_dir, &format!("receivers://{}/app", receiver.address));
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    let summary = text(&drained.stdout);
    assert!(summary.contains("\"delivered\":7,"), "{summary}");
    assert_eq!(cat(&received), lines(0, 107));
}

#[test]
fn a_living_owner_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (spool_dir, received) = (dir.path().join("spool"), dir.path().join("received"));
    let mut dead = Ship::start(&unreachable_url(), &spool_dir, "app");
    dead.write(&lines(0, 5));
    wait_for("\"records\":5", || spool(&spool_dir));
    dead.kill();
    // Of another name: a process adopts what the dead of its own name left.
    let mut living = Ship::start(&unreachable_url(), &spool_dir, "other");
    living.write(&lines(5, 9));
    wait_for("\"records\":4", || spool(&spool_dir));
    let receiver = ReceiverProcess::start(&received, &[]);
    let drained = drain(&spool_dir, &format!("receivers://{}/app", receiver.address));
    assert_eq!(drained.status.code(), Some(0), "{drained:?}");
    assert!(text(&drained.stderr).contains("its process is running"), "{drained:?}");
    assert!(text(&drained.stdout).contains("\"slots\":{\"dead\":1,\"alive\":1,"), "{drained:?}");
    assert_eq!(cat(&received), lines(0, 5));
    let rest = text(&spool(&spool_dir).stdout);
    assert!(rest.contains("\"owner\":\"alive\"") && rest.contains("\"records\":4"), "{rest}");
}

#[test]
fn what_cannot_be_delivered_in_time_stays_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = dir.path().join("spool");
    let mut ship = Ship::start(&unreachable_url(), &spool_dir, "app");
    ship.write(&lines(0, 5));
    wait_for("\"records\":5", || spool(&spool_dir));
    ship.kill();
    let url = unreachable_url();
    let rings = rings_of(&spool_dir);
    let drain = ["drain", path(&spool_dir), "--to", &url, "--set", &rings, "--deadline", "100ms"];
    let drained = logdrive(&drain);
    assert_eq!(drained.status.code(), Some(1), "{drained:?}");
    let told = text(&drained.stderr);
    assert!(told.contains("0 records delivered, 5 stored"), "{told}");
    assert!(told.contains("; not connected: 127.0.0.1:") || told.contains("no address"), "{told}");
    assert!(told.contains("not drained: ") && told.contains(": 5 records"), "{told}");
    let left = text(&spool(&spool_dir).stdout);
    assert!(left.contains("\"owner\":\"dead\"") && left.contains("\"records\":5"), "{left}");
}

#[test]
fn garbage_is_named_and_wrong_directories_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let spool_dir = dir.path().join("spool");
    let slot = spool_dir.join("app").join("ab".repeat(16));
    std::fs::create_dir_all(&slot).unwrap();
    std::fs::write(spool_dir.join("notes"), b"not a slot").unwrap();
    std::fs::write(slot.join("00000000000000000001.seg"), [0xee; 9000]).unwrap();
    std::fs::write(slot.join("slot"), [0xff; 100]).unwrap();
    let mut child = Command::new("mkfifo").arg(slot.join("2.seg")).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let shown = logdrive(&["spool", path(&spool_dir)]);
    let table = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    assert!(table.contains("owner dead\n  waiting  0 records in 0 batches"), "{table}");
    assert!(table.contains("00001.seg: is no segment"), "{table}");
    assert!(table.contains("2.seg: is no regular file"), "{table}");

    for part in [&slot, slot.parent().unwrap()] {
        let error = logdrive(&["spool", path(part)]);
        assert_eq!(error.status.code(), Some(2));
        let hint = format!("give the whole one, {}", path(&spool_dir));
        assert!(text(&error.stderr).contains(&hint), "{error:?}");
    }
    let absent = dir.path().join("absent");
    for command in [&["spool", path(&absent)][..], &["drain", path(&absent), "--to", "kafka://h/t"]]
    {
        let error = logdrive(command);
        assert_eq!(error.status.code(), Some(2));
        assert!(text(&error.stderr).contains("absent: No such file"), "{error:?}");
    }
    let typo = logdrive(&["drain", path(&spool_dir), "--to", "kafka://h/t", "--set", "lnger=5ms"]);
    assert_eq!(typo.status.code(), Some(2));
    assert!(text(&typo.stderr).contains("linger"), "{typo:?}");
}
