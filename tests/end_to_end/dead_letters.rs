//! `logdrive spool --dead-letters DIR --to URL`: whatever comes of a try, each record arrives once.

use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use crate::ship::Shipping;
use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::scripted::INVALID_RECORD;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::site::cat_lines;
use crate::support::wait;

/// Leaves the letters `one`, `two` and `three` of an application that has ended, beside those of loss reports.
fn refuse_three(site: &Site, arguments: &[&str]) {
    let receiver = ScriptedReceiver::start(&[], INVALID_RECORD);
    let mut shipping = Shipping::start(&site.url(&[receiver.address], ""), arguments, &[]);
    shipping.send(b"one\ntwo\nthree\n");
    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(1), "{summary}");
}

fn tool(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logdrive"));
    command.arg("spool").arg(root).arg("--dead-letters").args(arguments);
    command
}

fn try_again(site: &Site, root: &Path, receiver: impl ToString) -> Output {
    tool(root, &["--json", "--to", &site.url(&[receiver], "")]).output().unwrap()
}

fn list(root: &Path) -> String {
    String::from_utf8(tool(root, &[]).output().unwrap().stdout).unwrap()
}

/// The lines that were stored, without reports of losses.
fn stored(receiver: &ScriptedReceiver) -> Vec<String> {
    let values = receiver.stored().into_iter().map(|value| String::from_utf8(value).unwrap());
    values.filter(|value| !value.starts_with("logdrive:")).collect()
}

#[test]
fn what_was_acknowledged_is_not_logged_again_because_another_one_was_refused() {
    let site = Site::new();
    let root = site.ring_dir();
    refuse_three(&site, &[]);
    let receiver = ScriptedReceiver::start(&[], 0);
    receiver.refuse(b"two");
    let output = try_again(&site, &root, receiver.address);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(stored(&receiver), ["one", "three"]);
    let listed = list(&root);
    assert!(listed.contains("dead-letters/") && !listed.contains("ship/"), "{listed}");
    for expected in [&["two"][..], &[]] {
        let receiver = ScriptedReceiver::start(&[], 0);
        let output = try_again(&site, &root, receiver.address);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(stored(&receiver), expected);
        assert!(list(&root).contains("no dead letters"));
    }
}

/// While nobody listens they go over into the spool, from which the next try delivers them.
#[test]
fn a_try_that_is_stopped_is_finished_by_the_next() {
    let site = Site::new();
    let root = site.spool_dir();
    refuse_three(&site, &["--spool", root.to_str().unwrap()]);
    let address = lasting_address();
    for _ in 0..2 {
        let mut command = tool(&root, &["--to", &site.url(&[address], "")]);
        let mut child = Killed(command.stderr(Stdio::null()).spawn().unwrap());
        wait::until("it has them in its spool", || owned_and_waiting(&root) == (true, 3));
        let id = child.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        wait::until("it ends", || child.0.try_wait().unwrap().is_some());
        assert_eq!(child.0.wait().unwrap().code(), Some(1));
        assert_eq!(owned_and_waiting(&root), (false, 3));
        assert!(list(&root).contains("no dead letters"));
    }
    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let output = try_again(&site, &root, address);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(cat_lines(&[site.receiver_dir(0)]), [&b"one"[..], b"two", b"three"]);
}

/// The tool; killed when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether a slot below `root` has a living owner, and how many records wait in all.
fn owned_and_waiting(root: &Path) -> (bool, u64) {
    let output = Command::new(env!("CARGO_BIN_EXE_logdrive")).arg("spool").arg(root).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let counts = text.lines().filter_map(|line| line.trim().strip_prefix("waiting  "));
    let count = |rest: &str| rest.split(' ').next().unwrap().parse::<u64>().unwrap();
    (text.contains("owner alive"), counts.map(count).sum())
}

/// Who reads the summary may leave: nothing is logged twice for that.
#[test]
fn a_reader_that_leaves_changes_nothing() {
    let site = Site::new();
    refuse_three(&site, &[]);
    let receiver = ScriptedReceiver::start(&[], 0);
    let url = site.url(&[receiver.address], "");
    for arguments in [&[][..], &["--json"], &["--json", "--to", &url], &["--to", &url], &[]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let error = writer.try_clone().unwrap();
        let status =
            tool(&site.ring_dir(), arguments).stdout(writer).stderr(error).status().unwrap();
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
    assert_eq!(stored(&receiver), ["one", "two", "three"]);
}
