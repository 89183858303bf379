//! Fault 28: somebody unlinks, truncates, punches or moves our files while they are in use: those of the spool, and
//! the arena with the rings.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use logdrive::Code;

use crate::delivered;
use crate::delivered::Delivered;
use crate::host;
use crate::host::Orders;
use crate::host::Voice;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Accepted;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;
use crate::support::wait;
use crate::support::witness::Witness;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&codec=none\
    &poll.idle=5ms";

#[test]
fn files_vanish_under_load() {
    let row = Row::begin("28", "files vanish or shrink", 20, 200);
    let (mut tally, mut events, mut named_too) = (Tally::default(), 0, 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let address = lasting_address();
        let dir = if run.is_multiple_of(2) { site.memory_file("spool") } else { site.spool_dir() };
        let store = ["mmap", "file"][(run / 2 % 2) as usize];
        let options = format!("{OPTIONS}&spool.dir={}&spool.store={store}", dir.display());
        let url = site.url_of_topic("vanish", &[address], &options);
        // Behind half of the runs a backlog waits.
        let mut receiver = None;
        if random.below(2) == 0 {
            receiver = Some(ReceiverProcess::start_at(address, &dirs[0], &[]));
        }
        let mut application = Application::start(0, &url, &site.memory_file("witness"), None);
        application.wait_for(500 + random.below(1_000));
        let mut done = Vec::new();
        for _ in 0..3 {
            done.push(harm(&site, &dir, &mut random));
            events += 1;
            // Without a receiver the spool may be full by then.
            if receiver.is_some() {
                application.wait_for(application.accepted() + 100);
            }
        }
        let _receiver =
            receiver.unwrap_or_else(|| ReceiverProcess::start_at(address, &dirs[0], &[]));
        application.wait_for(application.accepted() + 1_000);
        let accepted = application.stop();
        // What its disk did not give back it left to an heir, who finds it or names it.
        site.drain(&url);
        let found = Delivered::read(&dirs, "vanish");
        let named = found.named();
        let mut verdict = found.judge(&[accepted], named);
        // An heir that finds nothing of a spool cannot know what else of it arrived: too large, never too small.
        let excess = named.saturating_sub(verdict.missing);
        verdict.named -= excess;
        named_too += excess;
        verdict.assert_clean(&format!("run {run}, store {store}: {done:?}"));
        tally += verdict;
    }
    let figures = format!(
        "{events} events, 0 signals, {} records lost and named, {named_too} named that arrived",
        tally.named
    );
    row.finish(&figures, &tally);
}

const ARENA_OPTIONS: &str = "name=application&ring.full=block&ring.bytes_max=4MiB&poll.idle=5ms";
const ARENA_THREADS: u16 = 4;

#[test]
fn the_arena_is_truncated_in_use() {
    let row = Row::begin("28", "the arena's file is truncated in use", 10, 200);
    let mut tally = Tally::default();
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("arena", &[receiver.address], ARENA_OPTIONS);
        let path = site.memory_file("witness");
        // Of the threads' records; and, as of a second run, how many of them were flushed.
        let witness = Witness::create(&path, 2 * host::THREADS_MAX);
        let ring_dir = site.ring_dir();
        let kind = ring_dir.to_str().unwrap();
        host::run(host::command("vanish::host", &url, &path, random.next(), kind), 0);
        let mut both = host::promised(&witness, 2, false);
        let flushed = Accepted { run: 0, ..both.pop().unwrap() };
        let before = Delivered::read(&dirs, "arena").judge(&[flushed], 0);
        assert_eq!(before.missing, 0, "flushed and not there, run {run}");
        // Nobody knows how much was in the rings; the harness does.
        let found = Delivered::read(&dirs, "arena");
        let mut verdict = found.judge(&both, 0);
        verdict.named = verdict.missing;
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        assert!(site.slots(&ring_dir).is_empty());
        tally += verdict;
    }
    let figures = format!("0 signals, {} records lost in rings, then refused", tally.named);
    row.finish(&figures, &tally);
}

/// No test, but the process of the one above: logs, flushes, truncates its own arena under its threads' hands, and
/// logs until it is refused.
#[test]
fn host() {
    let Some(Orders { url, witness, seed, kind }) = host::orders() else { return };
    let (client, mut random) = (host::client(&url), Random::new(seed));
    let mut voices: Vec<_> =
        (0..ARENA_THREADS).map(|thread| Voice::new(&witness, 0, thread)).collect();
    for voice in &mut voices {
        (0..1 + random.below(200)).for_each(|_| voice.log(&client).unwrap());
    }
    client.flush(wait::PATIENCE).unwrap();
    for thread in 0..host::THREADS_MAX {
        witness.store(host::THREADS_MAX + thread, witness.read(thread));
    }
    let arena = fs::read_dir(Path::new(&kind).join("application")).unwrap().flatten().next();
    let arena = arena.unwrap().path().join("arena");
    std::thread::scope(|scope| {
        for mut voice in voices {
            let client = &client;
            scope.spawn(move || {
                let refused = (0..).find_map(|_| voice.log(client).err());
                assert_eq!(refused, Some(Code::Closed));
            });
        }
        let logged = || (0..host::THREADS_MAX).map(|thread| witness.read(thread)).sum::<u64>();
        let goal = logged() + random.below(500);
        wait::until("the threads log", || logged() >= goal);
        // The chunks lie behind the heads of 4,096 rings, so all of them go.
        let bytes = if random.below(2) == 0 { 0 } else { random.below(256) * 4096 };
        truncate(&arena, bytes).unwrap();
    });
    assert!(client.stats().arena_is_lost);
    client.close(wait::PATIENCE).unwrap();
}

/// One act of vandalism on a file of the spool.
fn harm(site: &Site, dir: &Path, random: &mut Random) -> String {
    let slot = site.slots(dir).pop().unwrap();
    let entries = fs::read_dir(&slot).unwrap().flatten().map(|entry| entry.path());
    let segments: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    let Some(segment) = segments.get(random.below(segments.len().max(1) as u64) as usize) else {
        return "nothing there".to_owned();
    };
    let path = segment.to_str().unwrap();
    let at = random.below(1024) * 4096;
    // The file may be recycled under our hands.
    let what = match random.below(5) {
        0 => fs::remove_file(segment).map(|()| "unlink"),
        1 => truncate(segment, 0).map(|()| "truncate to 0"),
        2 => truncate(segment, at).map(|()| "truncate"),
        3 => {
            let at = at.to_string();
            let arguments = ["-p", "-o", &at, "-l", "65536", path];
            Command::new("fallocate").args(arguments).status().map(|_| "punch")
        }
        _ => fs::rename(&slot, slot.with_extension("moved")).map(|()| "move the directory"),
    };
    format!("{what:?} {path}")
}

fn truncate(path: &Path, bytes: u64) -> std::io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.set_len(bytes)
}
