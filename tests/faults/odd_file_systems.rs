//! Fault 30: file systems on which a mapping is no good place, or on which nothing can be written at all.

use std::fs;

use logdrive::Client;
use logdrive::Config;
use logdrive::Severity;

use crate::delivered;
use crate::delivered::Delivered;
use crate::mount::Kind;
use crate::mount::Mount;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str =
    "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB&poll.idle=5ms";
const KINDS: [(Kind, &str); 6] = [
    (Kind::Tmpfs, "mmap"),
    (Kind::Ext4, "mmap"),
    (Kind::Xfs, "mmap"),
    (Kind::Btrfs, "file"),
    (Kind::Overlay, "file"),
    (Kind::Fuse, "file"),
];

#[test]
fn kills_on_file_systems_of_all_kinds() {
    let row = Row::begin("30", "kill -9 on odd file systems", 6, 300);
    let (mut tally, mut names) = (Tally::default(), Vec::new());
    for run in 0..row.runs() {
        let (kind, store) = KINDS[run as usize % KINDS.len()];
        let Some(mount) = Mount::new(kind) else { continue };
        if !names.contains(&mount.name()) {
            names.push(mount.name());
        }
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let address = lasting_address();
        let options = format!("{OPTIONS}&spool.dir={}", mount.dir().join("spool").display());
        let url = site.url_of_topic("odd", &[address], &options);
        let mut accepted = Vec::new();
        for again in 0..3 {
            let witness = site.memory_file(&format!("witness-{again}"));
            let mut application = Application::start(again, &url, &witness, None);
            application.wait_for(1 + random.below(1_000));
            accepted.push(application.kill());
        }
        let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
        let stats = site.drain(&url);
        assert_eq!(stats.spool_store, store, "on {}", mount.name());
        let verdict = Delivered::read(&dirs, "odd").judge(&accepted, 0);
        verdict.assert_clean(&format!("{} run {run}", mount.name()));
        delivered::assert_accounted(&dirs);
        tally += verdict;
    }
    row.finish(&names.join(" "), &tally);
}

#[test]
fn a_read_only_disk_at_the_start_is_used_when_it_can_be() {
    let row = Row::begin("30", "read-only at the start", 1, 20);
    let mut delivered = 0;
    for _ in 0..row.runs() {
        let Some(mount) = Mount::new(Kind::Ext4) else { continue };
        mount.remount("ro");
        let site = Site::new();
        let address = lasting_address();
        let dir = mount.dir().join("spool");
        let options = format!("{OPTIONS}&codec=none&spool.dir={}", dir.display());
        let url = site.url_of_topic("ro", &[address], &options);
        let client = Client::start(&Config::from_url(&url).unwrap()).unwrap();
        let log = |from: u64| (from..from + 50).for_each(|n| client.info(format!("{n:01000}")));
        log(0);
        wait::until("memory mode", || client.stats().spool_memory_mode);
        mount.remount("rw");
        wait::until("the disk is used", || !client.stats().spool_memory_mode);
        wait::until("what was in memory is on the disk", || {
            let stats = client.stats();
            stats.spool_memory_bytes == 0 && stats.spool_segments_rehomed == 1
        });
        log(50);
        client.log(Severity::Error, "last").unwrap();
        let slot = site.slots(&dir);
        assert_eq!(slot.len(), 1);
        assert!(fs::read_dir(&slot[0]).unwrap().count() >= 4, "lock, slot, ledger, a segment");
        let dirs = [site.receiver_dir(0)];
        let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
        let stats = client.close(wait::PATIENCE).unwrap();
        assert_eq!((stats.sender.delivered, stats.sender.damaged), (101, 0), "{stats:?}");
        delivered += stats.sender.delivered;
        assert!(site.slots(&dir).is_empty());
    }
    row.finish("0 failed starts", &Tally { accepted: delivered, delivered, ..Tally::default() });
}
