//! Faults 8 and 10: the n-th system call on our files fails, once or from then on, with every n and every error.
//! The calls are intercepted in the application by a preloaded library (fail_calls.c).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::application::CLOSE_SECONDS;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&codec=none\
    &poll.idle=5ms";
const ERRNOS: [i32; 7] =
    [libc::ENOSPC, libc::EIO, libc::EMFILE, libc::ENOMEM, libc::EINTR, libc::EAGAIN, libc::EACCES];
/// Per thread: enough for some segments.
const RECORDS: u64 = 400;

/// The interceptor, compiled once.
fn interceptor() -> &'static str {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fail_calls.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/fail_calls.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
        assert!(compiler.status().unwrap().success(), "cc");
        library.display().to_string()
    })
}

/// What is to fail.
struct Order {
    at: u64,
    errno: i32,
    is_forever: bool,
}

/// Runs the application beside the order; the verdict, and the calls it made if a trace was asked for.
fn run(order: &Order, sync: &str, store: &str, trace: bool) -> (Tally, Vec<String>) {
    let site = Site::new();
    let dirs = [site.receiver_dir(0)];
    let address = lasting_address();
    let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
    let dir = site.spool_dir();
    let options =
        format!("{OPTIONS}&spool.dir={}&spool.sync={sync}&spool.store={store}", dir.display());
    let url = site.url_of_topic("calls", &[address], &options);
    let (prefix, traced) = (dir.display().to_string(), site.file("trace").display().to_string());
    let (at, errno) = (order.at.to_string(), order.errno.to_string());
    let mut environment = vec![
        ("LD_PRELOAD", interceptor()),
        ("FAIL_PREFIX", &prefix),
        ("FAIL_AT", &at),
        ("FAIL_ERRNO", &errno),
    ];
    if order.is_forever {
        environment.push(("FAIL_FOREVER", "1"));
        // What a disk never gives back to the process is delivered by its heir.
        environment.push((CLOSE_SECONDS, "5"));
    }
    if trace {
        environment.push(("FAIL_TRACE", &traced));
    }
    let witness = site.memory_file("witness");
    let application = Application::start_with(0, &url, &witness, Some(RECORDS), &environment);
    eprintln!("call {at}, {errno}, for ever {}, sync {sync}, store {store}", order.is_forever);
    let accepted = application.finish();
    site.drain(&url);
    let found = Delivered::read(&dirs, "calls");
    let named = found.named();
    let verdict = found.judge(&[accepted], named);
    let how = if order.is_forever { "for ever" } else { "once" };
    verdict
        .assert_clean(&format!("call {at} fails {how} with {errno}, sync {sync}, store {store}"));
    let calls = std::fs::read_to_string(&traced).unwrap_or_default();
    (verdict, calls.lines().map(str::to_owned).collect())
}

const NOTHING: Order = Order { at: 0, errno: 0, is_forever: false };

#[test]
fn the_nth_call_fails() {
    let row = Row::begin("8+10", "the n-th system call fails", 120, 2_000);
    let (mut tally, mut sites) = (Tally::default(), 0);
    let kinds = [("none", "mmap"), ("batch", "mmap"), ("batch", "file"), ("50ms", "file")];
    let counts = kinds.map(|(sync, store)| run(&NOTHING, sync, store, true).1.len() as u64);
    for number in 0..row.runs() {
        let mut random = row.random(number);
        let kind = number as usize % kinds.len();
        // The first calls one by one, then here and there.
        let step = number / kinds.len() as u64 + 1;
        let at = if step <= 20 { step } else { 21 + random.below(counts[kind]) };
        if at > counts[kind] {
            continue;
        }
        sites += 1;
        let errno = ERRNOS[random.below(ERRNOS.len() as u64) as usize];
        // For ever is a state of a disk that is full or broken; the other errors pass.
        let is_forever = random.below(3) == 0 && matches!(errno, libc::ENOSPC | libc::EIO);
        let order = Order { at, errno, is_forever };
        let (sync, store) = kinds[kind];
        tally += run(&order, sync, store, false).0;
    }
    let calls: u64 = counts.iter().sum();
    row.finish(&format!("{sites} sites of {calls} calls, 0 panics"), &tally);
    assert!(row_is_short(sites) || sites >= 100, "only {sites} sites");
}

fn row_is_short(sites: u64) -> bool {
    std::env::var_os("TEST_FACTOR").is_some() && sites < 100
}

/// With `spool.sync=batch` a segment's name is durable before the first group in it is.
#[test]
fn a_segments_name_is_durable_before_its_first_group() {
    let row = Row::begin("6", "directory entries are synced", 1, 10);
    let (mut tally, mut names) = (Tally::default(), 0);
    for _ in 0..row.runs() {
        for store in ["mmap", "file"] {
            let (verdict, calls) = run(&NOTHING, "batch", store, true);
            tally += verdict;
            for (at, call) in calls.iter().enumerate() {
                if !(call.starts_with("rename ") && call.ends_with(".seg")) {
                    continue;
                }
                names += 1;
                let dir = call["rename ".len()..].rsplit_once('/').unwrap().0;
                let synced = calls[at..].iter().position(|call| *call == format!("fsync {dir}"));
                // The sender's ledger is none of it.
                let is_of_group = |call: &String| {
                    let is_sync =
                        ["msync ", "fdatasync "].iter().any(|sync| call.starts_with(sync));
                    is_sync && !call.ends_with("/ledger")
                };
                let group = calls[at..].iter().position(is_of_group);
                assert!(
                    synced.is_some() && synced < group.or(Some(usize::MAX)),
                    "{call}: {:?}",
                    &calls[at..]
                );
            }
        }
    }
    row.finish(&format!("{names} names"), &tally);
}

/// With an interval as `spool.sync`, what is committed last is synced too: by one that closes, and by an heir.
#[test]
fn the_tail_is_synced_when_nobody_commits_any_more() {
    let site = Site::new();
    let address = lasting_address();
    let dir = site.spool_dir();
    let options = format!(
        "{OPTIONS}&linger=10s&spool.dir={}&spool.sync=1h&spool.store=file&close.deadline=1s",
        dir.display()
    );
    let url = site.url_of_topic("tail", &[address], &options);
    let mut killed = Application::start(0, &url, &site.memory_file("witness-0"), None);
    killed.wait_for(10);
    killed.kill();
    let arena = site.slots(&site.ring_dir()).remove(0).join("arena");
    let (prefix, traced) = (dir.display().to_string(), site.file("trace").display().to_string());
    let environment = [
        ("LD_PRELOAD", interceptor()),
        ("FAIL_PREFIX", &prefix),
        ("FAIL_TRACE", &traced),
        (CLOSE_SECONDS, "1"),
    ];
    let witness = site.memory_file("witness-1");
    let mut heir = Application::start_with(1, &url, &witness, None, &environment);
    heir.wait_for(10);
    wait::until("the dead one's slot is adopted", || !arena.exists());
    heir.stop();
    let trace = std::fs::read_to_string(&traced).unwrap();
    let of_segments = |name: &str| {
        let calls = trace.lines().enumerate().filter_map(|(at, call)| {
            let path = call.strip_prefix(name)?.strip_prefix(' ')?;
            path.ends_with(".seg").then(|| (path.to_owned(), at))
        });
        calls.collect::<BTreeMap<String, usize>>()
    };
    let (written, synced) = (of_segments("pwrite"), of_segments("fdatasync"));
    let slots: BTreeSet<_> = written.keys().map(|path| Path::new(path).parent()).collect();
    assert_eq!(slots.len(), 2, "{written:?}");
    for (path, at) in &written {
        assert!(synced.get(path).is_some_and(|synced| synced > at), "{path} was written to last");
    }
}
