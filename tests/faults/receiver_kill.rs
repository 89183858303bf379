//! Fault 20: `kill -9` of receivers under load. One of three dies at a random moment and comes back on its address.

use crate::delivered;
use crate::delivered::Delivered;
use crate::row::Row;
use crate::support::ReceiverProcess;
use crate::support::application::Application;
use crate::support::lasting_address;
use crate::support::oracle::Tally;
use crate::support::site::Site;

const OPTIONS: &str = "name=application&spool.full=block&ring.full=block&ring.bytes_max=4MiB";
const RECEIVERS: usize = 3;
const KILLS_PER_SITE: u64 = 10;

#[test]
fn kill_9_of_receivers_under_load() {
    let row = Row::begin("20", "kill -9 of a receiver under load", 30, 1_000);
    let (mut tally, mut repeats, mut kills) = (Tally::default(), 0, 0);
    for group in 0..row.runs().div_ceil(KILLS_PER_SITE) {
        let mut random = row.random(group);
        let site = Site::new();
        let dirs: Vec<_> = (0..RECEIVERS).map(|number| site.receiver_dir(number)).collect();
        let addresses: Vec<_> = dirs.iter().map(|_| lasting_address()).collect();
        let start =
            |number: usize| ReceiverProcess::start_at(addresses[number], &dirs[number], &[]);
        let mut receivers: Vec<_> = (0..RECEIVERS).map(|number| Some(start(number))).collect();
        let url = site.url_of_topic("load", &addresses, OPTIONS);
        let mut application = Application::start(1, &url, &site.memory_file("witness"), None);
        let mut logged = 0;
        let last = row.runs().min((group + 1) * KILLS_PER_SITE);
        while kills < last {
            logged += 1 + random.below(1_000);
            application.wait_for(logged);
            let victim = random.below(RECEIVERS as u64) as usize;
            receivers[victim].take().into_iter().for_each(ReceiverProcess::kill);
            kills += 1;
            // It stays away for a while every second time; others may die meanwhile.
            if random.below(2) == 0 {
                logged += random.below(500);
                application.wait_for(logged);
            }
            receivers[victim] = Some(start(victim));
        }
        let accepted = application.stop();
        drop(receivers);
        let verdict = Delivered::read(&dirs, "load").judge(&[accepted], 0);
        verdict.assert_clean(&format!("group {group}"));
        delivered::assert_accounted(&dirs);
        repeats += delivered::repeats(&dirs);
        tally += verdict;
        assert!(site.slots(&site.ring_dir()).is_empty(), "a slot is left behind");
    }
    row.finish(&format!("{repeats} sent again and recognised"), &tally);
}
