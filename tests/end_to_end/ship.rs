//! `logdrive ship`: what it reads is what `logdrive cat` gives back, byte for byte.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use crate::lines;
use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::bytes_below;
use crate::support::site::cat_lines;
use crate::support::site::run;
use crate::support::site::verify;
use crate::support::wait;

/// A `logdrive ship`; killed when dropped.
pub struct Shipping(pub Child);

impl Shipping {
    pub fn start(url: &str, arguments: &[&str], files: &[PathBuf]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdrive"));
        command.args(["ship", "--json", "--to", url]).args(arguments).args(files);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub fn terminate(&self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Closes its standard input, waits for its end: exit code and summary.
    pub fn finish(mut self) -> (Option<i32>, String) {
        drop(self.0.stdin.take());
        self.wait()
    }

    /// Waits for its end: exit code and summary.
    pub fn wait(mut self) -> (Option<i32>, String) {
        wait::until("ship ends", || self.0.try_wait().unwrap().is_some());
        let status = self.0.wait().unwrap();
        let mut summary = String::new();
        self.0.stdout.as_mut().unwrap().read_to_string(&mut summary).unwrap();
        (status.code(), summary)
    }
}

impl Drop for Shipping {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The number that stands behind `name` in a summary.
pub fn field(summary: &str, name: &str) -> u64 {
    let (_, rest) = summary.split_once(&format!("\"{name}\":")).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no {name} in {summary}"))
}

pub fn named_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What this slice of the project is for: real files through two receivers, one of which is killed with SIGKILL
/// and restarted meanwhile. The last input is a pipe that the test holds open, so that all of it
/// happens before the end whatever the speed of the machine.
#[test]
fn files_survive_the_kill_of_a_receiver() {
    let site = Site::new();
    let files = lines::files(site.disk());
    let mut files: Vec<_> = files.iter().cycle().take(files.len() * 3).cloned().collect();
    let mut expected = Vec::new();
    for file in &files {
        expected.extend(lines::lines_of(&fs::read(file).unwrap()));
    }
    let pipe_path = site.file("pipe");
    named_pipe(&pipe_path);
    files.push(pipe_path.clone());
    let dirs = [site.receiver_dir(0), site.receiver_dir(1)];
    let addresses = [lasting_address(), lasting_address()];
    let first = ReceiverProcess::start_at(addresses[0], &dirs[0], &[]);
    let _second = ReceiverProcess::start_at(addresses[1], &dirs[1], &[]);

    let url = site.url(&addresses, "batch.bytes=16KiB&spool.bytes_max=16MiB&linger=5ms");
    let mut shipping = Shipping::start(&url, &[], &files);
    let mut pipe = File::options().write(true).open(&pipe_path).unwrap();
    wait::until("both receivers store", || {
        dirs.iter().all(|dir| bytes_below(&dir.join("lines-0")) > 0)
    });
    first.kill();
    let before = bytes_below(&dirs[0]);
    let mut number = 0;
    let mut write_line = |pipe: &mut File, expected: &mut Vec<Vec<u8>>| {
        number += 1;
        let line = format!("line {number} while a receiver was away");
        writeln!(pipe, "{line}").unwrap();
        expected.push(line.into_bytes());
    };
    (0..1000).for_each(|_| write_line(&mut pipe, &mut expected));
    let _first = ReceiverProcess::start_at(addresses[0], &dirs[0], &[]);
    wait::until("the restarted receiver gets its share", || {
        write_line(&mut pipe, &mut expected);
        bytes_below(&dirs[0]) > before
    });
    assert!(shipping.is_running());
    drop(pipe);

    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(field(&summary, "delivered"), expected.len() as u64, "{summary}");
    // Its own figures are what `verify` can be told to expect: the end is known, and one record more is missed.
    let (_, instances) = summary.split_once("\"instances\":{\"").unwrap();
    let instance = &instances[..32];
    let accepted = field(&summary, "accepted");
    for (expect, code) in [(accepted, Some(0)), (accepted + 1, Some(1))] {
        let expect = format!("--expect={instance}:{expect}");
        assert_eq!(run("verify", &dirs, &[&expect]).0, code, "{expect}");
    }
    // One process logged them all, so `cat` gives them back in the order in which they were read.
    assert_same_lines(&cat_lines(&dirs), &expected);
    println!("{}", verify(&dirs));
    assert!(site.slots(&site.ring_dir()).is_empty(), "nothing is left behind");
}

#[test]
fn odd_bytes_are_kept_and_counted() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let mut shipping = Shipping::start(&site.url(&[receiver.address], ""), &[], &[]);
    shipping.send(lines::ODD);
    let (code, summary) = shipping.finish();
    let expected = lines::lines_of(lines::ODD);
    let bytes: usize = expected.iter().map(Vec::len).sum();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), expected);
    for (name, value) in [
        ("accepted", expected.len() as u64),
        ("delivered", expected.len() as u64),
        ("stored", 0),
        ("bytes_in", bytes as u64),
        ("records", expected.len() as u64),
    ] {
        assert_eq!(field(&summary, name), value, "{name} in {summary}");
    }
    for part in
        ["\"dropped\":{}", "\"seconds\":", "\"bytes_wire\":", "\"receivers\":[{\"address\":"]
    {
        assert!(summary.contains(part), "{part} in {summary}");
    }
}

#[test]
fn a_line_that_is_too_large_is_counted_and_the_others_go_on() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let mut shipping = Shipping::start(&site.url(&[receiver.address], ""), &[], &[]);
    shipping.send(b"before\n");
    shipping.send(&vec![b'x'; 40 << 20]);
    shipping.send(b"\nafter\n");
    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(1), "{summary}");
    assert!(summary.contains("\"refused\":{\"record_too_large\":1}"), "{summary}");
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [&b"before"[..], b"after"]);
}

#[test]
fn wrong_arguments_end_with_two_and_start_nothing() {
    let site = Site::new();
    let url = site.url(&["127.0.0.1:1"], "");
    let missing = site.file("missing.log");
    let cases: &[(&[&str], &[PathBuf], &str)] = &[
        (&["--set", "linger=soon"], &[], "linger"),
        (&["--set", "lingr=5ms"], &[], "linger"),
        (&["--set", "linger"], &[], "NAME=VALUE"),
        (&[], &[missing], "missing.log"),
        (&["--deadline", "7"], &[], "unit"),
    ];
    for (arguments, files, named) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logdrive"));
        command.args(["ship", "--to", &url]).args(*arguments).args(*files);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(named), "{arguments:?}: {message}");
        assert!(site.slots(&site.ring_dir()).is_empty(), "{arguments:?} started something");
    }
}

/// What the receivers do not take is never dropped: reading waits, SIGTERM leaves the rest stored, and
/// the next run of the same name delivers it.
#[test]
fn a_terminated_ship_is_finished_by_the_next() {
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], "ring.bytes_max=1MiB&spool.bytes_max=16MiB&codec=none");
    let files = [site.file("input.log")];
    let lines: Vec<String> = (0..400_000).map(|n| format!("line {n} {}", "y".repeat(80))).collect();
    fs::write(&files[0], lines.join("\n")).unwrap();
    let mut shipping = Shipping::start(&url, &[], &files);
    let spool = site.ring_dir();
    wait::until("the spool is full", || {
        let segments = site.slots(&spool);
        segments.iter().map(|slot| bytes_below(slot)).sum::<u64>() >= 16 << 20
    });
    assert!(shipping.is_running());
    shipping.terminate();
    let (code, summary) = shipping.wait();
    assert_eq!(code, Some(1), "{summary}");
    let (accepted, stored) = (field(&summary, "accepted"), field(&summary, "stored"));
    assert!(accepted > 0 && accepted < lines.len() as u64, "{summary}");
    assert_eq!(stored, accepted, "{summary}");
    let stopped = field(&summary, "stopped");
    assert!(stopped > 0 && accepted + stopped <= lines.len() as u64, "{summary}");
    assert!(summary.contains(&format!("\"refused\":{{\"stopped\":{stopped}}}")), "{summary}");

    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let (code, summary) = Shipping::start(&url, &[], &[]).finish();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(field(&summary, "adopted_delivered"), accepted, "{summary}");
    let found = cat_lines(&[site.receiver_dir(0)]);
    let expected: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    assert_eq!(found, expected[..accepted as usize]);
    verify(&[site.receiver_dir(0)]);
    assert!(site.slots(&spool).is_empty());
}

#[test]
fn a_deadline_leaves_the_rest_stored() {
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], "");
    let mut shipping = Shipping::start(&url, &["--deadline", "50ms"], &[]);
    shipping.send(b"one\ntwo\n");
    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(1), "{summary}");
    assert_eq!((field(&summary, "accepted"), field(&summary, "stored")), (2, 2), "{summary}");
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let (code, summary) = Shipping::start(&url, &[], &[]).finish();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [&b"one"[..], b"two"]);
}

/// A pipe that says nothing must not keep the tool from obeying.
#[test]
fn sigterm_ends_a_ship_whose_input_is_silent() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    let url = site.url(&[receiver.address], "");
    let mut shipping = Shipping::start(&url, &[], &[]);
    shipping.send(b"complete\nincomplete");
    wait::until("the first line arrives", || {
        bytes_below(&site.receiver_dir(0).join("lines-0")) > 0
    });
    let input = shipping.0.stdin.take();
    shipping.terminate();
    // Whether the acknowledgement came before the signal is a matter of luck; the next run settles it.
    let (code, summary) = shipping.wait();
    drop(input);
    assert_eq!(code, Some(1), "the begin of a line was read: {summary}");
    assert_eq!((field(&summary, "accepted"), field(&summary, "stopped")), (1, 1), "{summary}");
    let (code, summary) = Shipping::start(&url, &[], &[]).finish();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [b"complete"]);
}
