//! Slots of dead processes: taken over by a living sibling, a bounded number at a time, within one quota, and
//! what had to be given up of them is reported.

use std::time::Duration;

use logdrive::Client;
use logdrive::Severity;

use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle;
use crate::support::scripted::ScriptedReceiver;
use crate::support::site::Site;
use crate::support::site::bytes_below;
use crate::support::site::cat_lines;
use crate::support::site::verify;
use crate::support::wait;

/// Leaves a slot with what `log` logged, as a process does that ends before all is delivered.
fn leave(site: &Site, options: &str, log: impl Fn(&Client)) {
    let url = site.url(&["127.0.0.1:1"], options);
    let client = Client::open(&url).unwrap();
    log(&client);
    assert!(client.close(Duration::from_millis(50)).is_err(), "nobody takes it");
}

/// Two siblings live when the third is killed: one of the two delivers what it left, and each record once.
#[test]
fn a_living_sibling_delivers_what_a_killed_one_left() {
    const OPTIONS: &str = "spool.full=block&ring.full=block&adoption.interval=100ms";
    let site = Site::new();
    let address = lasting_address();
    let url = site.url(&[address], OPTIONS);
    let siblings = [site.client(&[address], OPTIONS), site.client(&[address], OPTIONS)];
    // Their threads run; a client that never logged has none.
    siblings.iter().for_each(|sibling| sibling.stream("quiet").unwrap().info("alive"));
    let third = Application::start(9, &url, &site.file("witness-9"), None);
    let mut killed = Application::start(7, &url, &site.file("witness-7"), None);
    killed.wait_for(5_000);
    let accepted = [killed.kill(), third.kill()];
    let dirs = [site.receiver_dir(0)];
    let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
    let adopted = || siblings.iter().map(|one| one.stats().sender.adopted_delivered).sum::<u64>();
    let left = || site.slots(&site.ring_dir()).len();
    wait::until("the slots of the dead are gone", || left() == siblings.len());
    let alive = siblings.len() as u64;
    for sibling in siblings.clone() {
        sibling.close(wait::PATIENCE).unwrap();
    }
    let lines = cat_lines(&dirs);
    assert_eq!(adopted() + alive, lines.len() as u64, "each was delivered by one of them");
    let logged: Vec<_> = lines.into_iter().filter(|line| line != b"alive").collect();
    oracle::judge_lines(&accepted, &logged).assert_clean("two killed siblings");
    verify(&dirs);
}

/// Both processes were forbidden to write, the dead one too: when what it left is taken, the living one goes on.
#[test]
fn a_topic_that_refused_what_the_dead_left_is_written_to_again() {
    const FORBIDDEN: i16 = 29;
    let (site, cluster) = (Site::new(), ScriptedReceiver::start(&[], FORBIDDEN));
    let url = site.url_with_scheme("kafka", &[cluster.address], "");
    let dead = Client::open(&url).unwrap();
    dead.info("of the dead");
    wait::until("it is refused", || cluster.seen().len() == 1);
    assert!(dead.close(Duration::from_millis(50)).is_err(), "nobody takes it");
    let heir = Client::open(&url).unwrap();
    wait::until("what the dead left is refused", || cluster.seen().len() == 2);
    heir.info("of the heir");
    cluster.relent();
    heir.flush(wait::PATIENCE).unwrap();
    let stats = heir.close(wait::PATIENCE).unwrap().sender;
    assert_eq!((stats.adopted_delivered, stats.delivered, stats.stored), (1, 1, 0));
    assert_eq!(cluster.stored(), [&b"of the dead"[..], b"of the heir"]);
}

#[test]
fn no_more_slots_are_open_at_a_time_than_allowed() {
    let site = Site::new();
    let receiver = ReceiverProcess::start(&site.receiver_dir(0), &[]);
    for number in 0..6 {
        // Each with a name of its own, so that none adopts another; then all get the same.
        let name = format!("name=dead-{number}");
        leave(&site, &name, |client| client.info(format!("left by {number}")));
    }
    let heirs = site.ring_dir().join("heir");
    std::fs::create_dir(&heirs).unwrap();
    for number in 0..6 {
        let name = site.ring_dir().join(format!("dead-{number}"));
        for slot in std::fs::read_dir(&name).unwrap().flatten() {
            std::fs::rename(slot.path(), heirs.join(slot.file_name())).unwrap();
        }
    }
    let nobody = site.client(&["127.0.0.1:1"], "name=heir&adoption.slots_max=2");
    wait::until("two slots are open", || nobody.stats().sender.adopted_slots == 2);
    nobody.flush(wait::PATIENCE).unwrap();
    assert_eq!(nobody.stats().sender.adopted_slots, 2, "the others wait");
    assert!(!nobody.adoption_done());
    nobody.close(wait::PATIENCE).unwrap();
    let url = site.url(&[receiver.address], "name=heir&adoption.slots_max=2");
    assert_eq!(site.drain(&url).sender.adopted_delivered, 6);
    assert_eq!(cat_lines(&[site.receiver_dir(0)]).len(), 6);
    assert!(site.slots(&site.ring_dir()).is_empty());
}

/// A quota of 16 MiB that a dead process has used up: its successor makes room by giving up the oldest of it, says
/// so to whoever reads, and both together stay within the quota.
#[test]
fn the_quota_spans_the_dead_and_what_gives_way_is_reported() {
    const OPTIONS: &str = "spool.bytes_max=16MiB&codec=none&ring.bytes_max=1MiB&ring.full=block";
    const QUOTA: u64 = 16 << 20;
    const ARENA_BYTES: u64 = 4 << 20;
    let site = Site::new();
    let address = lasting_address();
    let text = "z".repeat(1_000);
    let log = |client: &Client, bytes: u64| {
        for _ in 0..bytes / 1_000 {
            client.log(Severity::Info, &text).unwrap();
        }
    };
    leave(&site, OPTIONS, |client| log(client, 12 << 20));
    let before = bytes_below(&site.ring_dir());
    assert!(before > 12 << 20, "{before}");
    let client = site.client(&[address], OPTIONS);
    wait::until("the slot is adopted", || client.stats().sender.adopted_slots == 1);
    log(&client, 12 << 20);
    wait::until("all is committed", || {
        client.stats().sender.adopted_dropped > 0 && client.stats().arena_used_percent < 20
    });
    let together = bytes_below(&site.ring_dir());
    assert!(together <= QUOTA + ARENA_BYTES, "{together}");
    let receiver = ReceiverProcess::start_at(address, &site.receiver_dir(0), &[]);
    let stats = {
        wait::until("all is delivered", || {
            client.flush(wait::PATIENCE).is_ok() && client.stats().sender.adopted_slots == 0
        });
        client.close(wait::PATIENCE).unwrap()
    };
    drop(receiver);
    let lost = stats.sender.adopted_dropped + stats.dropped_total();
    let delivered = cat_lines(&[site.receiver_dir(0)]).len() as u64;
    assert_eq!(delivered + lost, 2 * ((12 << 20) / 1_000), "{stats:?}");
    verify(&[site.receiver_dir(0)]);
}
