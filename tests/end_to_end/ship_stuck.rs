//! `logdrive ship` where nothing goes on: receivers are away and the spool is full, or a record is refused for good.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::ship::Shipping;
use crate::ship::field;
use crate::ship::named_pipe;
use crate::support::ReceiverProcess;
use crate::support::lasting_address;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::site::assert_same_lines;
use crate::support::site::cat_lines;
use crate::support::site::run;
use crate::support::wait;

/// More than the spool and the rings hold, so that everything waits for receivers.
const MUCH: usize = 24 << 20;
/// A small spool; nothing in it is compressed.
const SMALL: &str = "ring.bytes_max=1MiB&spool.bytes_max=16MiB&codec=none";

/// Line `number`, of `bytes` bytes with its newline.
fn line_of(number: usize, bytes: usize) -> Vec<u8> {
    let mut line = format!("line {number} ").into_bytes();
    line.resize(bytes - 1, b'y');
    line.push(b'\n');
    line
}

/// Bytes of a line, a part of whatever is read from a pipe at once: no line is cut.
const LINE_BYTES: usize = 128;

/// What is left in a pipe, up to one byte behind the last line. Read in any case: the writer of the rest waits for it.
struct Unread<'a> {
    pipe: &'a File,
    is_over: bool,
}

impl Unread<'_> {
    /// How many lines.
    fn count(&mut self) -> u64 {
        let (mut count, mut bytes) = (0, [0; LINE_BYTES]);
        while !self.is_over {
            self.is_over = self.pipe.read(&mut bytes).unwrap() < LINE_BYTES;
            count += u64::from(!self.is_over);
        }
        count
    }
}

impl Drop for Unread<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

/// Waits until nobody has read from the pipe for so long that all calls on the way have been tried many times.
fn wait_until_stuck(written: &AtomicU64) {
    const LOOKS: u32 = 100;
    let (mut last, mut same) = (0, 0);
    wait::until("the pipe is stuck", || {
        let now = written.load(Ordering::Relaxed);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same >= LOOKS
    });
}

/// Above 90 % of the spool a call at INFO is refused for another reason than a full ring: as little a reason to drop.
#[test]
fn a_nearly_full_spool_drops_nothing() {
    const LONG: usize = 8 << 10;
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], SMALL);
    let mut shipping = Shipping::start(&url, &["--set", "ring.full_deadline=1ms"], &[]);
    let lines: Vec<_> = (0..MUCH / LONG).map(|n| line_of(n, LONG)).collect();
    let mut input = shipping.0.stdin.take().unwrap();
    let written = AtomicU64::new(0);
    let _receiver = std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in &lines {
                input.write_all(line).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        wait_until_stuck(&written);
        ReceiverProcess::start_at(address, &site.receiver_dir(0), &[])
    });
    drop(input);
    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(0), "{summary}");
    assert!(summary.contains("\"dropped\":{},\"refused\":{}"), "{summary}");
    let expected: Vec<_> = lines.iter().map(|line| line[..line.len() - 1].to_vec()).collect();
    assert_same_lines(&cat_lines(&[site.receiver_dir(0)]), &expected);
}

/// Thousands of lines were read and none of them finds room: they share one wait, and each is counted.
#[test]
fn a_terminated_ship_counts_what_it_read_and_could_not_log() {
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], SMALL);
    let pipe_path = site.file("pipe");
    named_pipe(&pipe_path);
    let shipping = Shipping::start(&url, &[], std::slice::from_ref(&pipe_path));
    // Open for both, it is never at its end, and what the command did not read can be read here.
    let pipe = File::options().read(true).write(true).open(&pipe_path).unwrap();
    let lines: Vec<_> = (0..MUCH / LINE_BYTES).map(|n| line_of(n, LINE_BYTES)).collect();
    let written = AtomicU64::new(0);
    let (code, summary, unread) = std::thread::scope(|scope| {
        scope.spawn(|| {
            for lines in lines.chunks(32) {
                (&pipe).write_all(&lines.concat()).unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
            (&pipe).write_all(&[0]).unwrap();
        });
        let mut unread = Unread { pipe: &pipe, is_over: false };
        wait_until_stuck(&written);
        shipping.terminate();
        let (code, summary) = shipping.wait();
        let unread = unread.count();
        (code, summary, unread)
    });
    assert_eq!(code, Some(1), "{summary}");
    let (accepted, stopped) = (field(&summary, "accepted"), field(&summary, "stopped"));
    assert!(stopped > 0, "{summary}");
    assert_eq!(accepted + stopped + unread, lines.len() as u64, "{summary}");
    assert_eq!(field(&summary, "stored"), accepted, "{summary}");

    let _receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let (code, summary) = Shipping::start(&url, &[], &[]).finish();
    assert_eq!(code, Some(0), "{summary}");
    let accepted = &lines[..accepted as usize];
    let expected: Vec<_> = accepted.iter().map(|line| line[..line.len() - 1].to_vec()).collect();
    assert_same_lines(&cat_lines(&[site.receiver_dir(0)]), &expected);
}

/// A loss is reported by a record of its own, which has a number, and arrives: the figures are those of all records.
#[test]
fn the_figures_include_the_reports_of_losses() {
    let site = Site::new();
    let receiver = ScriptedReceiver::start(&[87], 0);
    let mut shipping = Shipping::start(&site.url(&[receiver.address], ""), &[], &[]);
    shipping.send(b"refused\n");
    wait::until("it was refused", || !receiver.seen().is_empty());
    shipping.send(b"taken\n");
    let (code, summary) = shipping.finish();
    assert_eq!(code, Some(1), "{summary}");
    let stored = receiver.stored();
    let reports = stored.iter().filter(|value| value.starts_with(b"logdrive:")).count() as u64;
    assert!(reports > 0, "{summary}");
    assert_eq!(field(&summary, "loss_reports"), reports, "{summary}");
    assert_eq!(field(&summary, "accepted"), 2 + reports, "{summary}");
    assert_eq!(field(&summary, "delivered"), 1 + reports, "{summary}");
    assert_eq!(field(&summary, "stored"), 0, "{summary}");
    assert!(summary.contains("\"dropped\":{\"rejected\":1}"), "{summary}");

    // What a receiver's directory would be.
    let dir = site.receiver_dir(0);
    std::fs::create_dir_all(dir.join("lines-0")).unwrap();
    let mut segment = File::create(dir.join("lines-0/00000000000000000000.log")).unwrap();
    let mut offset = 0i64;
    for seen in receiver.seen().iter().filter(|seen| seen.code == 0) {
        segment.write_all(&offset.to_be_bytes()).unwrap();
        segment.write_all(&seen.bytes[8..]).unwrap();
        offset += seen.values.len() as i64;
    }
    let (_, instances) = summary.split_once("\"instances\":{\"").unwrap();
    let expect = format!("--expect={}:{}", &instances[..32], field(&summary, &instances[..32]));
    let (code, out) = run("verify", &[dir], &[&expect]);
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&out));
}
