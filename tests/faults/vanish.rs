//! Fault 28: somebody unlinks, truncates, punches or moves our files while they are in use.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::random::Random;
use crate::support::site::Site;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&codec=none\
    &poll.idle=5ms";

#[test]
fn files_vanish_under_load() {
    let row = Row::begin("28", "files vanish or shrink", 20, 200);
    let (mut tally, mut events) = (Tally::default(), 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let address = lasting_address(&mut random);
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
            application.wait_for(application.accepted() + 100);
        }
        let _receiver =
            receiver.unwrap_or_else(|| ReceiverProcess::start_at(address, &dirs[0], &[]));
        application.wait_for(application.accepted() + 1_000);
        let accepted = application.stop();
        let found = Delivered::read(&dirs, "vanish");
        let named = found.named();
        let verdict = found.judge(&[accepted], named);
        verdict.assert_clean(&format!("run {run}, store {store}: {done:?}"));
        tally += verdict;
    }
    let figures = format!("{events} events, 0 signals, {} records lost and named", tally.named);
    row.finish(&figures, &tally);
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
