//! Fault 29: who is who. Eight processes of one name start at once; and a state directory is copied while its owner
//! lives, and comes back after the owner, who may have logged on, is gone and everything was delivered.

use std::path::Path;
use std::process::Command;

use logdrive::ids::InstanceId;

use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::site::Site;
use crate::support::wait;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=2MiB";
const STARTERS: u32 = 8;

#[test]
fn eight_at_once_share_a_name_and_nothing_else() {
    let row = Row::begin("29", "8 processes of one name start at once", 10, 125);
    let mut tally = Tally::default();
    for run in 0..row.runs() {
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let receiver = ReceiverProcess::start(&dirs[0], &[]);
        let url = site.url_of_topic("starters", &[receiver.address], OPTIONS);
        let start = |starter: u32| {
            let witness = site.memory_file(&format!("witness-{starter}"));
            Application::start(starter, &url, &witness, Some(100))
        };
        let starters: Vec<_> = (0..STARTERS).map(start).collect();
        let accepted: Vec<_> = starters.into_iter().map(Application::finish).collect();
        let verdict = Delivered::read(&dirs, "starters").judge(&accepted, 0);
        verdict.assert_clean(&format!("run {run}"));
        delivered::assert_accounted(&dirs);
        let (runs, reused) = delivered::numbers(&dirs);
        assert_eq!(runs.len(), STARTERS as usize, "instances");
        assert!(runs.values().all(|runs| runs.len() == 1), "an instance of two processes");
        assert_eq!(reused, 0, "record numbers that stand for two records");
        assert!(site.slots(&site.ring_dir()).is_empty());
        tally += verdict;
    }
    row.finish("8 instances each time, 0 numbers reused", &tally);
}

#[test]
fn a_copied_state_directory_that_comes_back_loses_and_replaces_nothing() {
    let row = Row::begin("29", "a copied state directory comes back", 20, 1_000);
    let (mut tally, mut repeats, mut again) = (Tally::default(), 0, 0);
    for run in 0..row.runs() {
        let mut random = row.random(run);
        let site = Site::new();
        let dirs = [site.receiver_dir(0)];
        let address = lasting_address();
        let url = site.url_of_topic("copied", &[address], OPTIONS);
        let mut owner = Application::start(0, &url, &site.memory_file("owner"), None);
        owner.wait_for(50 + random.below(500));
        owner.signal("STOP");
        wait::until("the owner is stopped", || owner.is_stopped());
        let slot = site.slots(&site.ring_dir()).pop().unwrap();
        let original = InstanceId::parse(slot.file_name().unwrap().to_str().unwrap()).unwrap();
        let copy = site.memory_file("copy");
        copy_all(&site.ring_dir(), &copy);
        let stopped_at = owner.accepted();
        let _receiver = ReceiverProcess::start_at(address, &dirs[0], &[]);
        // By turns the owner dies at the copy, or logs on, and numbers what the copy has in its rings.
        let mut accepted = if run.is_multiple_of(2) {
            vec![owner.kill()]
        } else {
            owner.signal("CONT");
            owner.wait_for(stopped_at + 100 + random.below(1_000));
            vec![owner.stop()]
        };
        site.drain(&url);
        copy_all(&copy, &site.ring_dir());
        // The heir of the copy logs on, under an instance of its own.
        let heir = site.memory_file("heir");
        accepted.push(Application::start(1, &url, &heir, Some(50)).finish());
        site.drain(&url);
        let (runs, reused) = delivered::numbers(&dirs);
        assert_eq!(reused, 0, "record numbers that stand for two records, run {run}");
        assert!(runs.values().all(|runs| runs.len() == 1), "an instance of two processes");
        delivered::assert_accounted(&dirs);
        // What was only in the copied rings has no number yet that could tell it from what the original became: it
        // comes under an instance of its own, or two where an heir ended before it had taken all.
        let is_of_the_copy = |instance: InstanceId| {
            instance != original && runs.get(&instance.0).is_some_and(|runs| runs.contains(&0))
        };
        let all = Delivered::read(&dirs, "copied").judge(&accepted, 0);
        assert_eq!((all.missing, all.phantoms, all.garbage), (0, 0, 0), "run {run}");
        again += all.duplicates;
        let of_the_others =
            Delivered::read_of(&dirs, "copied", |instance| !is_of_the_copy(instance));
        let verdict = of_the_others.judge(&accepted, 0);
        verdict.assert_clean(&format!("run {run}"));
        repeats += delivered::repeats(&dirs);
        tally += verdict;
        assert!(site.slots(&site.ring_dir()).is_empty());
    }
    let figures = format!(
        "{repeats} repeats recognised, 0 numbers reused; {again} records of copied rings came again"
    );
    row.finish(&figures, &tally);
}

fn copy_all(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(status.success());
}
